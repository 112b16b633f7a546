// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks that data is cached once, on ondine over files alone. The mainline driver also keeps data
//! in the page cache of the image file.

use std::fs::File;

use anyhow::{ensure, Result};

use super::{statfs_fiemap_handles, Check, Site};
use crate::read_path::{PathReader, ReadPath};
use crate::{mounts, sys};

pub(super) const CHECKS: &[Check] = &[
    ("what is mapped is cached once", |site| {
        once(site, &[ReadPath::Mmap])
    }),
    ("what is sent is cached once", |site| {
        once(site, &[ReadPath::Sendfile])
    }),
    ("what is read and then mapped is cached once", |site| {
        once(site, &[ReadPath::Read, ReadPath::Mmap])
    }),
    ("what is mapped and then read is cached once", |site| {
        once(site, &[ReadPath::Mmap, ReadPath::Read])
    }),
];

const PAGE: u64 = 4096;
/// Pages of the largest folio that readahead allocates. The folio with the end of a file also holds
/// the image data after it, which stays cached.
const FOLIO: u64 = 32;
/// Sizes below and above the threshold of direct reads. Only whole pages are counted: tails are
/// cached with the metadata.
const SIZES: &[usize] = &[4096, 65_537, 1_048_577];

/// Checks that each page is cached either in the file or in its image, and not in both.
fn once(site: &Site<'_>, paths: &[ReadPath]) -> Result<()> {
    let reader = PathReader::new()?;
    for size in SIZES {
        let (name, bytes) = Site::sized(*size);
        let file = site.open(&name)?;
        let whole = *size as u64 / PAGE;
        // Before drop_caches(): finding the device of an extent reads its data.
        let mut sources = Vec::new();
        for mut extent in sys::fiemap(&file, 0, whole * PAGE)? {
            extent.length = extent.length.min(whole * PAGE - extent.logical);
            let begin = usize::try_from(extent.logical)?;
            let end = begin + usize::try_from(extent.length)?;
            let source = statfs_fiemap_handles::holder(site, extent.physical, &bytes[begin..end])?;
            sources.push((source, extent));
        }
        mounts::drop_caches()?;
        for path in paths {
            take(&reader, *path, &file, *size)?;
        }
        let mut cached = sys::cached_pages(&file, 0, whole * PAGE)?;
        ensure!(cached <= whole, "{name}: {cached} pages of {whole}");
        for (source, extent) in sources {
            cached += sys::cached_pages(&source, extent.physical, extent.length)?;
        }
        let twice = cached.saturating_sub(whole);
        let spared = if paths.len() > 1 && whole > FOLIO {
            FOLIO
        } else {
            0
        };
        ensure!(
            cached >= whole,
            "{name}: {cached} pages are cached of {whole}"
        );
        ensure!(
            twice <= spared,
            "{name}: {twice} pages of {whole} are cached twice"
        );
    }
    Ok(())
}

/// Reads the first `size` bytes of `file` by `path`.
fn take(reader: &PathReader, path: ReadPath, file: &File, size: usize) -> Result<()> {
    let mut buffer = vec![0; size];
    let mut at = 0;
    while at < size {
        let count = reader.read(path, file, at, &mut buffer[at..])?;
        ensure!(count > 0, "{path:?} ends at {at}");
        at += count;
    }
    Ok(())
}
