// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The pure crate against the model: both must observe the same tree in the same image, sound or
//! damaged. The two implementations share no code.

use ondine_model::observation::{diff_outcomes, Difference, Errno, Facet, Observation, Scope};
use ondine_model::observe::Options;
use ondine_model::read;
use ondine_model::write::gallery::gallery;
use ondine_model::write::{Image, Site};
use vmtest::suites::compare::pure_crate as pure;

/// Number of damaged images; `ONDINE_DAMAGES` sets another number.
const DAMAGES: u64 = 3000;

/// Limits of an observation: a damaged image may claim any size.
fn limits() -> Options {
    Options {
        bytes: 32 << 20,
        file_bytes: 8 << 20,
        paths: 2000,
        ..Options::default()
    }
}

fn seen_by_pure(image: &Image, options: &Options) -> Result<Observation, Errno> {
    let blobs: Vec<&dyn read::DeviceBytes> = image.blobs.iter().map(|blob| blob as _).collect();
    let page_size = 4096.max(1 << image.block_bits);
    let mount = pure::Mount::new(&image.primary, &blobs, page_size)?;
    Ok(mount.observe(options))
}

fn seen_by_model(image: &Image, options: &Options) -> Result<Observation, Errno> {
    let mount = image.open().map_err(|fault| fault.errno)?;
    Ok(mount.observe_with(options))
}

#[test]
fn every_sample_is_seen_as_it_was_made() {
    let options = Options {
        file_bytes: 64 << 20,
        ..Options::default()
    };
    for sample in gallery() {
        let image = sample.image().expect("a sample can be written");
        let pure = seen_by_pure(&image, &options);
        let model = seen_by_model(&image, &options);
        let scope = Scope::all("pure", "model");
        let differences = diff_outcomes(&pure, &model, &scope);
        assert_eq!(differences, [], "{}", sample.name);
        if !sample.is_huge() {
            let expected = Ok(sample.expected());
            let whole = seen_by_pure(&image, &Options::default());
            let scope = Scope::all("pure", "the tree");
            let differences = diff_outcomes(&whole, &expected, &scope);
            assert_eq!(differences, [], "{}", sample.name);
        }
    }
}

/// A generator of pseudo-random numbers (SplitMix64), the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Changes the value of one field, or truncates a device. Returns a description of the damage.
fn damage(image: &mut Image, fields: &[&'static str], noise: &mut Noise) -> String {
    if noise.below(40) == 0 {
        let device = noise.below(image.blobs.len() + 1) as u16;
        let store = image.device_mut(device).expect("it was counted");
        let len = noise.next() % (store.len() + 1);
        store.set_len(len);
        return format!("device {device} cut to {len} bytes");
    }
    // Chooses the kind of field first, so that rare kinds are as likely as frequent ones.
    let field = fields[noise.below(fields.len())];
    let sites: Vec<&Site> = image.sites.iter().filter(|s| s.field == field).collect();
    let site = sites[noise.below(sites.len())].clone();
    let store = image
        .device_mut(site.device)
        .expect("sites are on their devices");
    let width = usize::from(site.width);
    if site.offset + width as u64 > store.len() {
        return format!("{field} is cut off");
    }
    let old = store.bytes(site.offset, width);
    let mut word = [0; 8];
    word[..width].copy_from_slice(&old);
    let old = u64::from_le_bytes(word);
    let new = match noise.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(1),
        3 => old.wrapping_sub(1),
        4 => old ^ 1 << noise.below(width * 8),
        5 => 1 << noise.below(width * 8),
        6 => noise.next() & 0xffff,
        _ => noise.next(),
    };
    store.write_at(site.offset, &new.to_le_bytes()[..width]);
    format!("{field} at {:#x}: {old:#x} becomes {new:#x}", site.offset)
}

/// True if the extent crosses an edge of a device's unified address range.
fn crosses_range(image: &read::Image, extent: &read::Extent) -> bool {
    let bs = image.superblock().block_size();
    let slots = &image.devices().slots;
    let read::Source::Device { id, at } = extent.source else {
        return false;
    };
    let end = (at + (extent.end - extent.start)).next_multiple_of(bs);
    match usize::from(id).checked_sub(1) {
        None => slots
            .iter()
            .any(|slot| (at + 1..end).contains(&(slot.unified * bs))),
        Some(n) => slots[n].unified != 0 && end > slots[n].blocks * bs,
    }
}

/// True for a permitted difference, of an extent that spans several devices: the crate maps each byte to
/// a device, the model maps the whole extent by its first byte. The other extents of the file must not
/// differ.
fn is_permitted(damaged: &Image, image: &read::Image, difference: &Difference) -> bool {
    let path = difference.path.as_bytes();
    let Ok(inode) = image.resolve(path) else {
        return false;
    };
    let extents: Vec<_> = image.extents(&inode).flatten().collect();
    if !extents.iter().any(|extent| crosses_range(image, extent)) {
        return false;
    }
    match difference.facet {
        Facet::Names | Facet::Target => true,
        Facet::Content => {
            let others = extents
                .iter()
                .filter(|extent| !crosses_range(image, extent));
            let blobs: Vec<&dyn read::DeviceBytes> =
                damaged.blobs.iter().map(|blob| blob as _).collect();
            let page_size = 4096.max(1 << damaged.block_bits);
            let pure = pure::Mount::new(&damaged.primary, &blobs, page_size)
                .expect("the image was mounted before");
            others.into_iter().all(|extent| {
                let len = extent.end.min(inode.size) - extent.start;
                let mut bytes = [vec![0; len as usize], vec![0; len as usize]];
                let [ours, theirs] = &mut bytes;
                let ours = pure.pread(path, extent.start, ours);
                let theirs = image.read(&inode, extent.start, theirs);
                match (ours, theirs) {
                    (Ok(()), Ok(())) => bytes[0] == bytes[1],
                    (Err(ours), Err(theirs)) => ours == theirs.errno,
                    _ => false,
                }
            })
        }
        _ => false,
    }
}

#[test]
fn damaged_images_are_refused_alike() {
    let samples: Vec<(&str, Image)> = gallery()
        .iter()
        .filter(|sample| !sample.is_huge())
        .map(|sample| {
            let image = sample.image().expect("a sample can be written");
            (sample.name, image)
        })
        .collect();
    let count = std::env::var("ONDINE_DAMAGES");
    let count = count.map_or(DAMAGES, |count| count.parse().expect("a number"));
    let seed = std::env::var("ONDINE_SEED");
    let seed = seed.map_or(0, |seed| seed.parse().expect("a number"));
    let mut failures = Vec::new();
    for case in seed..seed + count {
        let mut noise = Noise(case << 32);
        let (name, sound) = &samples[noise.below(samples.len())];
        let mut image = sound.clone();
        let mut fields: Vec<_> = image.sites.iter().map(|site| site.field).collect();
        fields.sort_unstable();
        fields.dedup();
        let mut done = Vec::new();
        for _ in 0..1 + noise.below(3) {
            done.push(damage(&mut image, &fields, &mut noise));
        }
        if noise.below(8) != 0 {
            image.reseal();
        }

        let options = limits();
        let pure = seen_by_pure(&image, &options);
        let model = seen_by_model(&image, &options);
        let scope = Scope::all("pure", "model");
        let mut differences = diff_outcomes(&pure, &model, &scope);
        if let Ok(mount) = image.open() {
            differences.retain(|difference| !is_permitted(&image, &mount, difference));
        }
        if !differences.is_empty() {
            let sentences: Vec<_> = differences.iter().map(|d| d.to_string()).collect();
            let shown = sentences.join("\n  ");
            failures.push(format!("case {case}: {name}: {done:?}\n  {shown}"));
        }
        if failures.len() == 20 {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
