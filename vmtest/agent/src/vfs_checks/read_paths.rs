// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of the system calls that read file data.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use anyhow::{ensure, Context, Result};
use rustix::fs::{fadvise, sendfile, Advice};

use super::{gives, same, Check, Site, STORE};
use crate::{mounts, sys};

pub(super) const CHECKS: &[Check] = &[
    ("a private mapping shows the file, then zeros", mapping),
    ("a private mapping can be written and the file stays", poke),
    ("a page past the end of the file is EFAULT", past_the_end),
    ("a shared writable mapping is refused", shared_writable),
    ("sendfile copies a file", send),
    ("splice copies a file", splice),
    ("O_DIRECT reads, aligned and at the tail", direct),
    ("reads at odd offsets and lengths", odd_reads),
    ("reads at and past the end give nothing", at_the_end),
    ("fadvise and readahead change nothing", advice),
    ("eight readers of cold files agree", concurrent),
    ("SEEK_DATA and SEEK_HOLE at the edges", seeking),
];

const SIZES: &[usize] = &[511, 512, 1025, 4095, 4096, 4097, 65537, 1_048_577];

/// Copies the mapping through a file, so that a bad page is an error and not a SIGBUS.
fn mapped(map: &sys::Map, len: usize) -> Result<Vec<u8>> {
    let path = format!("{STORE}/mapped");
    let to = File::create(&path)?;
    let mut at = 0;
    while at < len {
        at += map
            .copy_through(&to, at, len - at)
            .context("reading the mapping")?;
    }
    Ok(std::fs::read(path)?)
}

fn mapping(site: &Site<'_>) -> Result<()> {
    for size in SIZES {
        let (name, mut wanted) = Site::sized(*size);
        let len = size.next_multiple_of(4096);
        wanted.resize(len, 0);
        let file = site.open(&name)?;
        for map in [
            sys::Map::private(&file, len)?,
            sys::Map::shared(&file, len)?,
        ] {
            same(&name, &mapped(&map, len)?, &wanted)?;
        }
    }
    Ok(())
}

fn poke(site: &Site<'_>) -> Result<()> {
    let (name, mut wanted) = Site::sized(4097);
    let file = site.open(&name)?;
    let map = sys::Map::private(&file, 8192)?;
    map.poke(100, 0xee);
    same("the file", &std::fs::read(site.path(&name))?, &wanted)?;
    wanted[100] = 0xee;
    same("the mapping", &mapped(&map, 4097)?, &wanted)
}

fn past_the_end(site: &Site<'_>) -> Result<()> {
    let file = site.open("sizes/4096")?;
    let map = sys::Map::shared(&file, 8192)?;
    let to = File::create(format!("{STORE}/past"))?;
    gives(
        "the page past the end",
        libc::EFAULT,
        map.copy_through(&to, 4096, 1),
    )
}

/// Shared mappings must not become writable: not by mmap(2), not by mprotect(2), and not by a
/// forced write as from a debugger.
fn shared_writable(site: &Site<'_>) -> Result<()> {
    let (name, wanted) = Site::sized(4096);
    let file = site.open(&name)?;
    gives("mmap", libc::EACCES, sys::Map::shared_writable(&file, 4096))?;
    let map = sys::Map::shared(&file, 4096)?;
    gives("mprotect", libc::EACCES, map.make_writable())?;
    let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    gives(
        "a write to the mapping through /proc/self/mem",
        libc::EIO,
        memory.write_at(&[!wanted[0]], map.address()),
    )?;
    same("the file", &std::fs::read(site.path(&name))?, &wanted)
}

fn send(site: &Site<'_>) -> Result<()> {
    for size in SIZES {
        let (name, wanted) = Site::sized(*size);
        let from = site.open(&name)?;
        let path = format!("{STORE}/sent");
        let to = File::create(&path)?;
        let mut done = 0;
        while done < *size {
            let count = sendfile(&to, &from, None, size - done)?;
            ensure!(count > 0, "{name}: sendfile ends after {done} bytes");
            done += count;
        }
        same(&name, &std::fs::read(&path)?, &wanted)?;
    }
    Ok(())
}

fn splice(site: &Site<'_>) -> Result<()> {
    let (name, wanted) = Site::sized(1_048_577);
    let from = site.open(&name)?;
    let (reader, writer) = rustix::pipe::pipe()?;
    let mut reader = File::from(reader);
    let mut seen = Vec::new();
    while seen.len() < wanted.len() {
        let flags = rustix::pipe::SpliceFlags::empty();
        let count = rustix::pipe::splice(&from, None, &writer, None, 60_000, flags)?;
        ensure!(count > 0, "splice ends after {} bytes", seen.len());
        let begin = seen.len();
        seen.resize(begin + count, 0);
        reader.read_exact(&mut seen[begin..])?;
    }
    same(&name, &seen, &wanted)
}

/// Returns a slice of `len` bytes in `buffer`, aligned for direct I/O.
fn aligned(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    buffer.resize(len + 4096, 0);
    let skip = buffer.as_ptr().align_offset(4096);
    &mut buffer[skip..skip + len]
}

fn direct(site: &Site<'_>) -> Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_DIRECT);
    let mut memory = Vec::new();
    for size in [4096, 65536, 65537, 1_048_575, 1_048_577] {
        let (name, wanted) = Site::sized(size);
        let file = match options.open(site.path(&name)) {
            Ok(file) => file,
            // The mainline driver does not support direct I/O on file-backed mounts, and refuses
            // the open.
            Err(error)
                if error.raw_os_error() == Some(libc::EINVAL) && site.observer.fs == "erofs" =>
            {
                return Ok(())
            }
            Err(error) => return Err(error).context("open with O_DIRECT"),
        };
        let mut seen = Vec::new();
        loop {
            let buffer = aligned(&mut memory, 65536);
            match file.read_at(buffer, seen.len() as u64)? {
                0 => break,
                count => seen.extend_from_slice(&buffer[..count]),
            }
            if seen.len() % 4096 != 0 {
                break;
            }
        }
        same(&name, &seen, &wanted)?;
    }
    Ok(())
}

fn odd_reads(site: &Site<'_>) -> Result<()> {
    for size in [65537, 1_048_577] {
        let (name, wanted) = Site::sized(size);
        let file = site.open(&name)?;
        let mut at = 1;
        for len in [1, 2, 511, 513, 4095, 4097, 8191, 65_536, 100_003] {
            at = (at * 7919 + 13) % size;
            let mut buffer = vec![0; len];
            let count = file.read_at(&mut buffer, at as u64)?;
            let end = (at + len).min(size);
            same(
                &format!("{name} {at}+{len}"),
                &buffer[..count],
                &wanted[at..end],
            )?;
        }
    }
    Ok(())
}

fn at_the_end(site: &Site<'_>) -> Result<()> {
    let mut buffer = [7; 100];
    for (name, size) in [
        ("sizes/4097", 4097),
        ("empty", 0),
        ("all-hole", (2 << 20) + 5),
    ] {
        let file = site.open(name)?;
        for at in [size, size + 1, size + 4096, 1 << 40] {
            let count = file.read_at(&mut buffer, at)?;
            ensure!(count == 0, "{name} at {at}: {count} bytes past the end");
        }
    }
    Ok(())
}

/// Advice applies to the open file that it was given for. Each file is read through that
/// descriptor, with cold caches, by read(2) and by a mapping.
fn advice(site: &Site<'_>) -> Result<()> {
    let (name, wanted) = Site::sized(1_048_577);
    for advice in [
        Advice::Normal,
        Advice::WillNeed,
        Advice::Random,
        Advice::Sequential,
        Advice::NoReuse,
        Advice::DontNeed,
    ] {
        let file = site.open(&name)?;
        mounts::drop_caches()?;
        fadvise(&file, 0, None, advice)?;
        let mut seen = vec![0; wanted.len()];
        file.read_exact_at(&mut seen, 0)?;
        same(&format!("{name} after {advice:?}"), &seen, &wanted)?;
        mounts::drop_caches()?;
        let map = sys::Map::shared(&file, wanted.len())?;
        same(
            &format!("{name} mapped after {advice:?}"),
            &mapped(&map, wanted.len())?,
            &wanted,
        )?;
    }
    Ok(())
}

fn concurrent(site: &Site<'_>) -> Result<()> {
    for _ in 0..3 {
        mounts::drop_caches()?;
        std::thread::scope(|scope| -> Result<()> {
            let read = |start: usize| {
                let order = SIZES.iter().cycle().skip(start).take(SIZES.len());
                for size in order {
                    let (name, wanted) = Site::sized(*size);
                    same(&name, &std::fs::read(site.path(&name))?, &wanted)?;
                }
                anyhow::Ok(())
            };
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || read(n))).collect();
            for thread in threads {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn seeking(site: &Site<'_>) -> Result<()> {
    let mut file = site.open("sizes/4097")?;
    ensure!(file.seek(SeekFrom::End(-1))? == 4096, "SEEK_END");
    let seek = |file: &File, from| rustix::fs::seek(file, from).map_err(std::io::Error::from);
    use rustix::fs::SeekFrom::{Data, Hole};
    ensure!(
        seek(&file, Hole(0))? == 4097,
        "SEEK_HOLE does not find the hole at the end"
    );
    ensure!(
        seek(&file, Data(5))? == 5,
        "SEEK_DATA does not stay inside of data"
    );
    for at in [4097, 4098, 1 << 40] {
        gives("SEEK_DATA past the end", libc::ENXIO, seek(&file, Data(at)))?;
        gives("SEEK_HOLE past the end", libc::ENXIO, seek(&file, Hole(at)))?;
    }
    let empty = site.open("empty")?;
    gives(
        "SEEK_DATA of an empty file",
        libc::ENXIO,
        seek(&empty, Data(0)),
    )
}
