// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images with random mutation: every operation ends with a value or an errno, without panic.

use std::fs;
use std::path::Path;

use crate::program::make;
use ondine_model::check;
use ondine_model::observation::Observation;
use ondine_model::observe::Options;
use ondine_model::read::{Image, Setup};

/// Number of damaged images per set of options.
const ROUNDS: u32 = 400;

struct Random(u64);

impl Random {
    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Overwrites a few bytes with boundary values, most of them in the metadata at the start.
fn damage(image: &mut [u8], metadata: usize, random: &mut Random) {
    const EDGES: [u8; 8] = [0, 1, 0x0b, 0x0c, 0x7f, 0x80, 0xfe, 0xff];
    for _ in 0..=random.below(12) {
        let at = 1024 + random.below(metadata - 1024);
        let run = 1 + random.below(4);
        let byte = match random.below(3) {
            0 => random.next() as u8,
            _ => EDGES[random.below(EDGES.len())],
        };
        let end = (at + run).min(image.len());
        image[at..end].fill(byte);
    }
}

fn tree(at: &Path) {
    fs::create_dir_all(at.join("some/where")).expect("directories");
    for k in 0..60 {
        fs::write(
            at.join(format!("some/name-{k:02}")),
            vec![k; 37 * usize::from(k)],
        )
        .expect("a file");
    }
    fs::write(at.join("big"), vec![7; 40_000]).expect("a file");
    std::os::unix::fs::symlink("some/where", at.join("link")).expect("a link");
    for name in ["some/name-05", "big", "some"] {
        let (key, flags) = (c"user.key", rustix::fs::XattrFlags::empty());
        rustix::fs::lsetxattr(at.join(name), key, b"a value", flags).expect("an attribute");
    }
}

pub(crate) fn every_operation_on_a_damaged_image_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = directory.path().join("tree");
    fs::create_dir(&source).expect("a directory");
    tree(&source);
    let options = Options {
        bytes: 1 << 26,
        file_bytes: 1 << 22,
        paths: 2000,
        ignored_xattrs: Vec::new(),
    };
    let mut random = Random(0x0dd1_e5ee_d000_0001);
    let (mut refused, mut seen) = (0, 0);
    for shape in [
        &["-Enosbcrc", "-b512"][..],
        &["-Enosbcrc", "-Exattr-name-filter"],
        &["-Enosbcrc", "--chunksize=4096", "-Eforce-chunk-indexes"],
        &["-Enosbcrc", "-x1", "-E48bit", "--xattr-prefix=user.k"],
    ] {
        let path = directory.path().join("image");
        make(&path, &source, shape);
        let sound = fs::read(&path).expect("the image");
        let metadata = sound.len().min(16384);
        for _ in 0..ROUNDS {
            let mut image = sound.clone();
            damage(&mut image, metadata, &mut random);
            match Image::open(image, Setup::default()) {
                Err(_) => refused += 1,
                Ok(image) => {
                    let first = image.observe_with(&options);
                    let json = first.to_json().expect("it has a JSON form");
                    assert_eq!(Observation::from_json(&json).expect("its own form"), first);
                    if !first.truncated {
                        drop(check::image_tree(&image));
                    }
                    seen += 1;
                }
            }
        }
    }
    assert!(
        refused > 10 && seen > 200,
        "{refused} refused, {seen} seen: the damage is of the wrong strength"
    );
}
