// SPDX-License-Identifier: Apache-2.0 OR MIT

//! RAFS v6 bootstraps: plain EROFS trees whose data is on a decoded blob.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ondine_model::observation::{Errno, Kind, Observation, Text};
use ondine_model::read::{Image, Layout, Setup, Source};
use sha2::{Digest, Sha256};

/// Block size of a nydus bootstrap with one uncompressed blob.
const BLOCK: u64 = 4096;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/rafs-v6")
}

/// sha256 of every regular file by path.
fn truth() -> BTreeMap<String, String> {
    let packed = fs::File::open(samples().join("tree_small.sha256.gz")).expect("the list");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("a gzip text");
    let line = |line: &str| {
        let (sum, path) = line.split_once("  ./").expect("sum and path");
        (path.to_owned(), sum.to_owned())
    };
    text.lines().map(line).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// Decodes a stored blob by moving each chunk to its decoded offset (docs/spec/rafs-v6.md section
/// 1.8). A stored blob packs its chunks and cannot be used as a device.
fn decode(bootstrap: &[u8], stored: &[u8]) -> Vec<u8> {
    let extended = &bootstrap[0x480..];
    let at = usize::try_from(u64_at(extended, 24)).expect("small");
    let len = usize::try_from(u64_at(extended, 32)).expect("small");
    let mut decoded = Vec::new();
    for record in bootstrap[at..at + len].chunks_exact(80) {
        let size = u32_at(record, 44) as usize;
        let from = usize::try_from(u64_at(record, 48)).expect("small");
        let to = usize::try_from(u64_at(record, 56)).expect("small");
        let end = (to + size).next_multiple_of(4096);
        if decoded.len() < end {
            decoded.resize(end, 0);
        }
        decoded[to..to + size].copy_from_slice(&stored[from..from + size]);
    }
    decoded
}

fn bootstrap(sample: &str) -> Vec<u8> {
    fs::read(samples().join(sample).join("bootstrap")).expect("a bootstrap")
}

fn files(seen: &Observation) -> impl Iterator<Item = (&Text, &ondine_model::observation::Entry)> {
    seen.entries
        .iter()
        .filter(|(_, entry)| matches!(&entry.stat, Ok(stat) if stat.kind == Kind::Regular))
}

#[test]
fn every_file_of_the_uncompressed_sample_has_its_digest() {
    let image = bootstrap("s_none_64k");
    let tag = "e428011fd0e3b75c5ac9b012113a0b192a0cf39ec464a26b87612e1c3bb9f31f";
    let stored = fs::read(samples().join("s_none_64k/blobs").join(tag)).expect("the blob");
    let setup = Setup {
        devices: vec![Box::new(decode(&image, &stored))],
        ..Setup::default()
    };
    let image = Image::open(image, setup).expect("it mounts");
    assert_eq!(image.devices().slots[0].tag, Text::from(tag));
    let seen = image.observe();
    let found: BTreeMap<String, String> = files(&seen)
        .map(|(path, _)| {
            let inode = image.resolve(&path.0).expect("it is listed");
            let mut content = vec![0; inode.size as usize];
            image.read(&inode, 0, &mut content).expect("it reads");
            (path.to_string(), format!("{:x}", Sha256::digest(&content)))
        })
        .collect();
    assert_eq!(found, truth());
    assert_eq!(
        seen.entries[&Text::default()]
            .stat
            .as_ref()
            .expect("the root")
            .mtime,
        (0, 0)
    );
}

#[test]
fn the_tree_of_every_sample_is_the_same() {
    let names = truth();
    for sample in ["s_none_64k", "s_zstd_1m", "s_zstd_batch", "s_zstd_toc"] {
        let image = Image::open(bootstrap(sample), Setup::default()).expect("it mounts");
        let seen = image.observe();
        assert_eq!(
            files(&seen)
                .map(|(path, _)| path.to_string())
                .collect::<Vec<_>>(),
            names.keys().cloned().collect::<Vec<_>>()
        );
        // 623 inodes, with an additional path per hard link.
        let links = seen
            .entries
            .values()
            .filter_map(|e| e.stat.as_ref().ok()?.group.as_ref())
            .count();
        assert!(links >= 2, "{sample}: {links} paths are hard links");
        for (path, entry) in &seen.entries {
            assert!(
                entry.stat.is_ok() && entry.xattrs.is_ok(),
                "{sample}: {path}"
            );
            assert!(
                entry.listing.iter().all(|listing| listing.ended.is_none()),
                "{sample}: {path}"
            );
        }
        let big = image.resolve(b"big/rand80k.bin").expect("it is there");
        assert!(matches!(
            big.layout,
            Layout::Chunks {
                indexes: true,
                large: false,
                ..
            }
        ));
        let mapped = image.devices().slots[0].unified * BLOCK;
        let first = image.extent(&big, 0).expect("mapped");
        assert!(
            matches!(first.source, Source::Device { id: 0, at } if at >= mapped),
            "{sample}: {first:?}"
        );
        // Flat mode without the blob: the data is beyond the end of the bootstrap.
        let content = seen.entries[&Text::from("big/rand80k.bin")].content.clone();
        assert_eq!(content, Some(Err(Errno::EIO)));
    }
}
