// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sources of a device's bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::observation::Errno;

/// Bytes of one device: random access and a length.
pub trait DeviceBytes {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// True for a device without bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` from byte `at`. The reader ([`super`]) has checked that the range is within the
    /// length.
    ///
    /// # Errors
    /// Errors of the underlying file.
    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno>;
}

impl DeviceBytes for [u8] {
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

impl DeviceBytes for Vec<u8> {
    fn len(&self) -> u64 {
        DeviceBytes::len(self.as_slice())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        self.as_slice().read_at(at, out)
    }
}

impl DeviceBytes for File {
    fn len(&self) -> u64 {
        // stat(2) reports no length for a block device; seek to its end instead.
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

impl<S: DeviceBytes + ?Sized> DeviceBytes for Arc<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

impl<S: DeviceBytes + ?Sized> DeviceBytes for Box<S> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

impl<S: DeviceBytes + ?Sized> DeviceBytes for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), Errno> {
        (**self).read_at(at, out)
    }
}

/// True if `[at, at + len)` lies within the device.
pub(super) fn holds(bytes: &dyn DeviceBytes, at: u64, len: u64) -> bool {
    at.checked_add(len).is_some_and(|end| end <= bytes.len())
}
