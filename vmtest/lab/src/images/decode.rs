// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Decoding of the stored blobs of a RAFS v6 image into the devices that its bootstrap refers to.
//!
//! A stored blob packs its chunks one after the other; the chunk addresses in the bootstrap are
//! offsets in the decoded blob (docs/spec/rafs-v6.md sections 1.8 and 1.9). The code here reads the
//! format itself and does not run nydus.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use xshell::{cmd, Shell};

/// Offset of the extended superblock in a bootstrap, in bytes.
const EXTENDED: usize = 0x480;
/// The flag of the extended superblock for zstd.
const ZSTD: u64 = 0x80;
/// Bytes of an entry of the blob table, and of an entry of the chunk table.
const ENTRY: (usize, usize) = (256, 80);
/// Features of a blob that do not change the way its chunks are stored: aligned chunks, and digests
/// after the data. The chunk table is enough to decode such a blob.
const PLAIN: u32 = 0x1 | 0x20;
/// The feature bits that a reader must support to decode the blob.
const INCOMPATIBLE: u32 = 0xffff;

/// An entry of the blob table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    /// The name of the blob.
    pub(super) id: String,
    /// Features that change the way its chunks are stored, which not every release of nydus
    /// supports; 0: each chunk is stored by itself.
    pub(super) packing: u32,
    /// Size of the decoded blob, in bytes.
    size: u64,
}

/// The blobs of the image at `bootstrap`, in slot order.
///
/// # Errors
/// When the file cannot be read or is too short for a RAFS v6 bootstrap.
pub(super) fn blobs(bootstrap: &Path) -> Result<Vec<Blob>> {
    let image = read(bootstrap)?;
    let (at, len) = (
        u64_at(&image, EXTENDED + 8)?,
        u32_at(&image, EXTENDED + 16)?,
    );
    let blob = |entry: &[u8]| -> Result<Blob> {
        let id = entry[..64].split(|byte| *byte == 0).next();
        Ok(Blob {
            id: String::from_utf8(id.unwrap_or_default().to_vec())?,
            packing: u32_at(entry, 84)? & INCOMPATIBLE & !PLAIN,
            size: u64_at(entry, 96)?,
        })
    };
    let table = piece(&image, at, len.into())?;
    table.chunks_exact(ENTRY.0).map(blob).collect()
}

/// Decodes the blobs of `bootstrap` from the directory `stored` into the directory `to`. Returns
/// the paths of the devices, in slot order.
///
/// # Errors
/// When a blob is missing, has [`packing`](Blob::packing) features, or contradicts the bootstrap.
pub(super) fn decode(bootstrap: &Path, stored: &Path, to: &Path) -> Result<Vec<PathBuf>> {
    let image = read(bootstrap)?;
    let zstd = u64_at(&image, EXTENDED)? & ZSTD != 0;
    let (at, len) = (
        u64_at(&image, EXTENDED + 24)?,
        u64_at(&image, EXTENDED + 32)?,
    );
    let table = piece(&image, at, len)?;
    let chunks = table.chunks_exact(ENTRY.1).map(Chunk::read);
    let chunks: Vec<Chunk> = chunks.collect::<Result<_>>()?;
    let mut devices = Vec::new();
    for (slot, blob) in blobs(bootstrap)?.iter().enumerate() {
        ensure!(
            blob.packing == 0,
            "blob {} packs its chunks by features {:#x}, which cannot be decoded here",
            blob.id,
            blob.packing
        );
        let whole = read(&stored.join(&blob.id))?;
        let of = |chunk: &&Chunk| chunk.blob as usize == slot;
        // One call of zstd for all frames of the blob.
        let mut frames = Vec::new();
        for chunk in chunks.iter().filter(of).filter(|chunk| chunk.compressed()) {
            ensure!(
                zstd,
                "the compressor of {} is not zstd",
                bootstrap.display()
            );
            frames.extend_from_slice(piece(&whole, chunk.from, chunk.stored.into())?);
        }
        let plain = inflate(&frames)?;
        let mut begin = 0;
        let path = to.join(format!("blob-{slot}"));
        let device = File::create(&path)?;
        device.set_len(blob.size)?;
        for chunk in chunks.iter().filter(of) {
            let bytes = if chunk.compressed() {
                begin += u64::from(chunk.size);
                piece(&plain, begin - u64::from(chunk.size), chunk.size.into())?
            } else {
                piece(&whole, chunk.from, chunk.size.into())?
            };
            device.write_all_at(bytes, chunk.to)?;
        }
        devices.push(path);
    }
    Ok(devices)
}

/// An entry of the chunk table.
struct Chunk {
    /// Slot of the blob.
    blob: u32,
    /// Bytes in the stored blob.
    stored: u32,
    /// Offset in the stored blob.
    from: u64,
    /// Bytes in the decoded blob.
    size: u32,
    /// Offset in the decoded blob.
    to: u64,
}

impl Chunk {
    fn read(record: &[u8]) -> Result<Self> {
        Ok(Self {
            blob: u32_at(record, 32)?,
            stored: u32_at(record, 40)?,
            size: u32_at(record, 44)?,
            from: u64_at(record, 48)?,
            to: u64_at(record, 56)?,
        })
    }

    /// True if the chunk is compressed. A chunk that compression does not shrink is stored as it is.
    fn compressed(&self) -> bool {
        self.stored != self.size
    }
}

/// Decompresses the zstd frames in `bytes`.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let dir = tempfile::tempdir()?;
    let (frames, plain) = (dir.path().join("frames"), dir.path().join("plain"));
    fs::write(&frames, bytes)?;
    let shell = Shell::new()?;
    cmd!(shell, "zstd --decompress --quiet -o {plain} {frames}")
        .quiet()
        .run()?;
    read(&plain)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn piece(bytes: &[u8], at: u64, len: u64) -> Result<&[u8]> {
    let (at, len) = (usize::try_from(at)?, usize::try_from(len)?);
    at.checked_add(len)
        .and_then(|end| bytes.get(at..end))
        .with_context(|| {
            format!(
                "{len} bytes at {at} exceed the {} bytes there are",
                bytes.len()
            )
        })
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(piece(bytes, at as u64, 4)?.try_into()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(piece(bytes, at as u64, 8)?.try_into()?))
}
