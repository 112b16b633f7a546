// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mappings of files: reads by page faults, and the protections that mmap(2) and mprotect(2) allow.

use std::fs::File;
use std::hint::black_box;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

const PAGE: usize = 4096;

/// Maps the page at `offset` of `file`, and reads one byte of it.
///
/// # Errors
/// The file is too short, or mmap(2) fails.
pub(crate) fn touch_page(file: &File, offset: u64) -> anyhow::Result<()> {
    Map::readable(file, offset, PAGE)?.touch(0);
    Ok(())
}

/// Touches the file at `path`, see [`touch_all`].
///
/// # Errors
/// As [`touch_all`]; or the file cannot be opened.
pub(crate) fn touch(path: &Path, length: usize) -> anyhow::Result<()> {
    touch_all(&File::open(path)?, length)
}

/// Maps the first `length` bytes of `file`, unless that is 0, and reads one byte of each page in
/// order.
///
/// # Errors
/// The file is too short, or mmap(2) fails.
pub(crate) fn touch_all(file: &File, length: usize) -> anyhow::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let map = Map::readable(file, 0, length)?;
    for offset in (0..length).step_by(PAGE) {
        map.touch(offset);
    }
    Ok(())
}

/// A mapping of a file, unmapped when dropped.
///
/// # Invariants
///
/// `start` is the address of a mapping of `len` bytes, which nothing else unmaps.
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// Maps `len` bytes of `file` from its beginning, readable and privately writable.
    ///
    /// # Errors
    /// Errors of mmap(2).
    pub(crate) fn private(file: &File, len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(file, 0, len, protection, libc::MAP_PRIVATE)
    }

    /// Maps `len` bytes of `file` shared and readable, as program text is.
    ///
    /// # Errors
    /// Errors of mmap(2).
    pub(crate) fn shared(file: &File, len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        Self::new(file, 0, len, protection, libc::MAP_SHARED)
    }

    /// Maps `len` bytes of `file` shared and writable, which a read-only file system must refuse.
    ///
    /// # Errors
    /// Errors of mmap(2), expected on a read-only file system.
    pub(crate) fn shared_writable(file: &File, len: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Self::new(file, 0, len, protection, libc::MAP_SHARED)
    }

    /// Makes the mapping writable with mprotect(2).
    ///
    /// # Errors
    /// Errors of mprotect(2): EACCES for a shared mapping of a file opened read-only.
    pub(crate) fn make_writable(&self) -> io::Result<()> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: By the type invariants the range is a mapping of ours, to which no reference exists.
        let done = unsafe { libc::mprotect(self.start.cast(), self.len, protection) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Returns the address of the first mapped byte.
    pub(crate) fn address(&self) -> u64 {
        self.start.addr() as u64
    }

    fn new(file: &File, offset: u64, len: usize, protection: i32, flags: i32) -> io::Result<Self> {
        let Ok(offset) = libc::off_t::try_from(offset) else {
            return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
        };
        // SAFETY: a new mapping at an address chosen by the kernel overlaps no memory in use.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                flags,
                file.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            len,
        })
    }

    /// Maps `len` bytes from `offset`, shared and readable, for [`Map::touch`] alone.
    ///
    /// # Errors
    /// The file ends before `offset + len`, or mmap(2) fails.
    fn readable(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| file.metadata().map_or(true, |meta| meta.len() < end)) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        Self::new(file, offset, len, libc::PROT_READ, libc::MAP_SHARED)
    }

    /// Reads the byte at `at`, which causes a page fault unless the page is mapped.
    ///
    /// The file must not have been truncated. Callers touch files on read-only mounts, and files
    /// that no other process uses.
    fn touch(&self, at: usize) {
        assert!(at < self.len, "offset outside of the mapping");
        // SAFETY: `at` is inside of the mapping, which is readable.
        black_box(unsafe { self.start.add(at).read_volatile() });
    }

    /// Copies mapped bytes with write(2) into `to`. An unreadable page makes write(2) fail with
    /// EFAULT, while a direct access would kill this process with SIGBUS.
    ///
    /// # Errors
    /// Errors of write(2), in particular EFAULT.
    pub(crate) fn copy_through(&self, to: &File, at: usize, len: usize) -> io::Result<usize> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the range is inside of the mapping, which lives as long as self; the kernel
        // checks each page that it reads.
        let done = unsafe { libc::write(to.as_raw_fd(), self.start.add(at).cast(), len) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }

    /// Reads up to `len` bytes of `file` from its offset `at` with pread(2) to the beginning of the mapping, which must be
    /// private and writable, and returns their number. The kernel faults its pages in.
    ///
    /// # Errors
    /// Errors of pread(2).
    pub(crate) fn read_into(&self, file: &File, at: u64, len: usize) -> io::Result<usize> {
        let at = libc::off_t::try_from(at);
        let (Ok(at), true) = (at, len <= self.len) else {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        };
        // SAFETY: the range is inside of the mapping, to which no reference exists; the kernel checks
        // each page that it writes.
        let done = unsafe { libc::pread(file.as_raw_fd(), self.start.cast(), len, at) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }

    /// Writes one byte into the mapping, which must be private and writable.
    pub(crate) fn poke(&self, at: usize, value: u8) {
        assert!(at < self.len, "offset outside of the mapping");
        // SAFETY: inside the mapping, and callers poke private writable mappings of whole files.
        unsafe { self.start.add(at).write_volatile(value) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is exactly the range returned by mmap, and no reference to it exists.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}
