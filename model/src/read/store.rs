// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Where the bytes of a device come from.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::observation::Errno;

/// The bytes of one device: random access, a length, and no state.
pub trait Store {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// True of a device without a byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` from byte `at` on, which [`read`] has checked to be within [`Store::len`].
    ///
    /// # Errors
    /// What the system gave.
    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno>;
}

impl Store for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        let start = usize::try_from(at).map_err(|_| Errno::EIO)?;
        let from = self.get(start..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(from.ok_or(Errno::EIO)?);
        Ok(())
    }
}

impl Store for Vec<u8> {
    fn len(&self) -> u64 {
        Store::len(self.as_slice())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        self.as_slice().read_at(at, out)
    }
}

impl Store for File {
    fn len(&self) -> u64 {
        // A block device has no length of its own to stat; the end of its data is where seeking to the end leads.
        let length = self.metadata().map_or(0, |found| found.len());
        if length > 0 {
            return length;
        }
        rustix::fs::seek(self, rustix::fs::SeekFrom::End(0)).unwrap_or(0)
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        Ok(self.read_exact_at(out, at)?)
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

impl<S: Store + ?Sized> Store for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

/// Whether `[at, at + len)` lies within the store.
pub(super) fn holds(store: &dyn Store, at: u64, len: u64) -> bool {
    at.checked_add(len).is_some_and(|end| end <= store.len())
}
