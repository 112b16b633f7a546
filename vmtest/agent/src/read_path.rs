// SPDX-License-Identifier: Apache-2.0 OR MIT

//! System calls and page faults that read file data. With read(2) the reading task itself waits for
//! missing data; with a page fault or sendfile(2) it waits for a folio.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{memfd_create, sendfile, MemfdFlags};

use super::sys::Map;

/// Path by which data of a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadPath {
    /// pread(2).
    Read,
    /// Page fault in a mapping, from write(2) out of it.
    Mmap,
    /// sendfile(2).
    Sendfile,
}

/// Reader of files by any path.
pub(crate) struct PathReader {
    /// Memory file that receives data of mmap and sendfile.
    through: File,
}

impl ReadPath {
    /// Returns a random path.
    pub(crate) fn any(rng: &mut fastrand::Rng) -> Self {
        [Self::Read, Self::Mmap, Self::Sendfile][rng.usize(..3)]
    }
}

impl PathReader {
    /// Creates a reader with its own memory file.
    ///
    /// # Errors
    /// memfd_create(2) fails.
    pub(crate) fn new() -> io::Result<Self> {
        let through = memfd_create("through", MemfdFlags::CLOEXEC)?.into();
        Ok(Self { through })
    }

    /// Reads from offset `at` of `file` into `buffer` and returns the number of bytes, possibly
    /// fewer than requested. The file must reach at least to the end of that range.
    ///
    /// # Errors
    /// A system call fails. A failed page fault is EIO, although write(2) reports it as EFAULT.
    pub(crate) fn read(
        &self,
        path: ReadPath,
        file: &File,
        at: usize,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut to = &self.through;
        to.rewind()?;
        let count = match path {
            ReadPath::Read => return file.read_at(buffer, at as u64),
            ReadPath::Mmap => {
                let map = Map::shared(file, at + buffer.len())?;
                map.copy_through(to, at, buffer.len()).map_err(|error| {
                    match error.raw_os_error() {
                        Some(libc::EFAULT) => io::Error::from_raw_os_error(libc::EIO),
                        _ => error,
                    }
                })?
            }
            ReadPath::Sendfile => sendfile(to, file, Some(&mut (at as u64)), buffer.len())?,
        };
        to.read_exact_at(&mut buffer[..count], 0)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_leads_to_the_same_bytes() {
        let bytes: Vec<u8> = (0..20_000u32).map(|n| (n / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let reader = PathReader::new().unwrap();
        for path in [ReadPath::Read, ReadPath::Mmap, ReadPath::Sendfile] {
            for (at, len) in [(0, 20_000), (5000, 9000), (19_999, 1)] {
                let mut buffer = vec![0; len];
                let read = reader.read(path, file.as_file(), at, &mut buffer);
                assert_eq!(read.unwrap(), len, "{path:?}");
                assert_eq!(buffer, bytes[at..at + len], "{path:?}");
            }
        }
    }
}
