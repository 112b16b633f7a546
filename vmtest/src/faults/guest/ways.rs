// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Ways to the bytes of a file. Under read(2) the reader's own task waits for what is missing; under a
//! page fault and sendfile(2) folios do.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{memfd_create, sendfile, MemfdFlags};

use crate::guest::sys::Map;

/// How bytes are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// pread(2).
    Call,
    /// write(2) from a mapping.
    Fault,
    /// sendfile(2).
    Send,
}

/// A reader that knows all ways.
pub(super) struct Walker {
    /// Where bytes come by that go from one file to another.
    through: File,
}

impl Way {
    /// One of them.
    pub(super) fn any(rng: &mut fastrand::Rng) -> Self {
        [Self::Call, Self::Fault, Self::Send][rng.usize(..3)]
    }
}

impl Walker {
    /// One with a memory file of its own.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub(super) fn new() -> io::Result<Self> {
        let through = memfd_create("through", MemfdFlags::CLOEXEC)?.into();
        Ok(Self { through })
    }

    /// Reads bytes of `file`, which is as long as that, from `at` on into `buffer`. Returns how many:
    /// not always all.
    ///
    /// # Errors
    /// Those of the calls; EIO for a page that cannot be had, which a write(2) takes for a bad address.
    pub(super) fn read(
        &self,
        way: Way,
        file: &File,
        at: usize,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut to = &self.through;
        to.rewind()?;
        let count = match way {
            Way::Call => return file.read_at(buffer, at as u64),
            Way::Fault => {
                let map = Map::shared(file, at + buffer.len())?;
                map.copy_through(to, at, buffer.len()).map_err(|error| {
                    match error.raw_os_error() {
                        Some(libc::EFAULT) => io::Error::from_raw_os_error(libc::EIO),
                        _ => error,
                    }
                })?
            }
            Way::Send => sendfile(to, file, Some(&mut (at as u64)), buffer.len())?,
        };
        to.read_exact_at(&mut buffer[..count], 0)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_leads_to_the_same_bytes() {
        let bytes: Vec<u8> = (0..20_000u32).map(|n| (n / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let walker = Walker::new().unwrap();
        for way in [Way::Call, Way::Fault, Way::Send] {
            for (at, len) in [(0, 20_000), (5000, 9000), (19_999, 1)] {
                let mut buffer = vec![0; len];
                let read = walker.read(way, file.as_file(), at, &mut buffer);
                assert_eq!(read.unwrap(), len, "{way:?}");
                assert_eq!(buffer, bytes[at..at + len], "{way:?}");
            }
        }
    }
}
