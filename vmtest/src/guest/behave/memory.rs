// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What stays in the page cache: asked of ondine over files alone. The C driver keeps what it reads
//! through the page cache of its image in its own one, too.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::{ensure, Result};
use rustix::fs::sendfile;

use super::{Check, Site, STORE};
use crate::guest::{mounts, sys};

pub(super) const CHECKS: &[Check] = &[
    ("what is mapped is cached once", |site| {
        once(site, &[Way::Map])
    }),
    ("what is sent is cached once", |site| {
        once(site, &[Way::Send])
    }),
    ("what is read and then mapped is cached once", |site| {
        once(site, &[Way::Read, Way::Map])
    }),
    ("what is mapped and then read is cached once", |site| {
        once(site, &[Way::Map, Way::Read])
    }),
];

const PAGE: u64 = 4096;
/// Pages of the largest folio that readahead makes: one that holds the end of a file, and what follows
/// it, stays.
const FOLIO: u64 = 32;
/// Below and above of what is read directly, and whole pages: tails are with the metadata.
const SIZES: &[usize] = &[4096, 65_537, 1_048_577];

#[derive(Clone, Copy)]
enum Way {
    Map,
    Send,
    Read,
}

/// Each page of a file is cached by the file or by its image, and not by both.
fn once(site: &Site<'_>, ways: &[Way]) -> Result<()> {
    let image = File::open(&site.row.primary)?;
    let path = format!("{STORE}/once");
    for size in SIZES {
        let (name, _) = Site::sized(*size);
        let file = site.open(&name)?;
        mounts::drop_caches()?;
        for way in ways {
            let to = File::create(&path)?;
            take(&file, *way, *size, &to)?;
        }
        let whole = *size as u64 / PAGE;
        let mut cached = sys::cached_pages(&file, 0, whole * PAGE)?;
        ensure!(cached <= whole, "{name}: {cached} pages of {whole}");
        for extent in sys::fiemap(&file, 0, whole * PAGE)? {
            cached += sys::cached_pages(&image, extent.physical, extent.length.min(whole * PAGE))?;
        }
        let twice = cached.saturating_sub(whole);
        let spared = if ways.len() > 1 && whole > FOLIO {
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

/// Takes the first `size` bytes of `file`; those that no call of ours copies go to `to`.
fn take(file: &File, way: Way, size: usize, to: &File) -> Result<()> {
    match way {
        Way::Map => {
            let map = sys::Map::shared(file, size)?;
            let mut at = 0;
            while at < size {
                at += map.copy_through(to, at, size - at)?;
            }
        }
        Way::Send => {
            let mut at = 0;
            while at < size as u64 {
                let count = sendfile(to, file, Some(&mut at), size)?;
                ensure!(count > 0, "sendfile ends at {at}");
            }
        }
        Way::Read => {
            let mut buffer = vec![0; size];
            file.read_exact_at(&mut buffer, 0)?;
        }
    }
    Ok(())
}
