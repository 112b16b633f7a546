// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the stored blobs of a RAFS v6 image decode to: the devices that its bootstrap speaks of.
//!
//! A stored blob packs its chunks; only the decoded one has them where the bootstrap says
//! (spec/rafs-v6.md, 1.8 and 1.9). Nothing of nydus is asked for it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use xshell::{cmd, Shell};

/// Where the extended superblock begins in a bootstrap.
const EXTENDED: usize = 0x480;
/// The superblock's flag of zstd.
const ZSTD: u64 = 0x80;
/// Bytes of an entry of the blob table, and of one of the chunk table.
const ENTRY: (usize, usize) = (256, 80);
/// Features of a blob under which the chunk table alone tells how its chunks are stored: aligned,
/// and digests behind them.
const PLAIN: u32 = 0x1 | 0x20;
/// The features that a reader must know.
const INCOMPATIBLE: u32 = 0xffff;

/// A blob of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its name.
    pub(super) id: String,
    /// Features by which its chunks are stored in a way that not every release reads; 0: one by one.
    pub(super) packing: u32,
    /// Bytes of it, decoded.
    size: u64,
}

/// The blobs of the image at `bootstrap`, in slot order.
///
/// # Errors
/// When it is no RAFS v6 bootstrap.
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

/// Decodes the plain blobs of `bootstrap`, which lie in the directory `stored`, into `to`. The
/// devices' paths, in slot order.
///
/// # Errors
/// When a blob is not there, is not plain, or is not what the bootstrap says.
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
        ensure!(blob.packing == 0, "blob {} is not plain", blob.id);
        let whole = read(&stored.join(&blob.id))?;
        let of = |chunk: &&Chunk| chunk.blob as usize == slot;
        // One call for the whole blob: the frames one after the other.
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

/// A record of the chunk table.
struct Chunk {
    blob: u32,
    /// Bytes in the stored blob, from there.
    stored: u32,
    from: u64,
    /// Bytes in the decoded blob, from there.
    size: u32,
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

    /// What compression does not make smaller is stored as it is.
    fn compressed(&self) -> bool {
        self.stored != self.size
    }
}

/// What the frames in `bytes` hold, one after the other.
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
        .with_context(|| format!("{len} bytes at {at}, where {} are", bytes.len()))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(piece(bytes, at as u64, 4)?.try_into()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(piece(bytes, at as u64, 8)?.try_into()?))
}
