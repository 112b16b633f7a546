// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The ioctls of the protocol: the only calls that an ordinary descriptor does not support.
//!
//! Messages, commands, polling and cache files take read(2), write(2), poll(2), pwrite(2) and
//! lseek(2), which work on sockets and regular files as well. With these four calls behind a trait, a
//! test runs the session against a socket and temporary files, on any kernel.

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl::{ioctl, opcode, Getter, IntegerSetter, Opcode, Setter};

use super::extension::Features;
use super::message::MsgId;

/// Number of CACHEFILES_IOC_READ_COMPLETE, `_IOW(0x98, 1, int)`. The argument is the message id by
/// value (`docs/spec/cachefiles-ondemand.md` section 4).
pub const READ_COMPLETE: u32 = 0x4004_9801;

/// Type byte of the protocol's ioctls.
const TYPE: u8 = 0x98;
const FEATURES: Opcode = opcode::read::<u64>(TYPE, 0x60);
const ENABLE: Opcode = opcode::write::<u64>(TYPE, 0x61);
const READ_FAIL: Opcode = opcode::write::<ReadFail>(TYPE, 0x62);

/// Argument of READ_FAIL.
#[repr(C)]
struct ReadFail {
    id: u32,
    /// From 1 to 511; larger numbers are internal to the kernel.
    errno: i32,
}

/// The ioctls of a device and of its objects. [`Device`](super::Device) and
/// [`Object`](super::Object) describe their arguments and errors.
pub(crate) trait Ioctls: fmt::Debug + Send + Sync {
    /// Extensions that the driver has.
    fn features(&self, device: BorrowedFd<'_>) -> Result<Features, Errno>;

    /// Enables exactly these extensions.
    fn enable(&self, device: BorrowedFd<'_>, features: Features) -> Result<(), Errno>;

    /// Completes a READ.
    fn complete(&self, object: BorrowedFd<'_>, id: MsgId) -> Result<(), Errno>;

    /// Completes a READ with an errno.
    fn fail(&self, object: BorrowedFd<'_>, id: MsgId, errno: Errno) -> Result<(), Errno>;
}

/// The system calls.
#[derive(Debug)]
pub(super) struct KernelIoctls;

#[allow(unsafe_code)]
impl Ioctls for KernelIoctls {
    fn features(&self, device: BorrowedFd<'_>) -> Result<Features, Errno> {
        // SAFETY: FEATURES encodes in its number that the driver writes a u64, which is what `Getter`
        // provides. A driver without this ioctl refuses the number, and one that gives it another
        // meaning still writes no more than the encoded size.
        match unsafe { ioctl(device, Getter::<FEATURES, u64>::new()) } {
            Ok(bits) => Ok(Features(bits)),
            Err(Errno::NOTTY) => Ok(Features::NONE),
            Err(errno) => Err(errno),
        }
    }

    fn enable(&self, device: BorrowedFd<'_>, features: Features) -> Result<(), Errno> {
        // SAFETY: ENABLE encodes in its number that the driver reads a u64, and writes nothing.
        unsafe { ioctl(device, Setter::<ENABLE, u64>::new(features.0)) }
    }

    fn complete(&self, object: BorrowedFd<'_>, id: MsgId) -> Result<(), Errno> {
        // SAFETY: READ_COMPLETE takes the id itself as its argument, so the kernel touches no memory
        // of this process. A file that is no cachefiles object refuses the number, whose direction
        // bits let no driver write through the argument.
        unsafe {
            ioctl(
                object,
                IntegerSetter::<READ_COMPLETE>::new_usize(id.0 as usize),
            )
        }
    }

    fn fail(&self, object: BorrowedFd<'_>, id: MsgId, errno: Errno) -> Result<(), Errno> {
        let argument = ReadFail {
            id: id.0,
            errno: errno.raw_os_error(),
        };
        // SAFETY: READ_FAIL encodes in its number that the driver reads a `ReadFail`, and writes
        // nothing.
        unsafe { ioctl(object, Setter::<READ_FAIL, ReadFail>::new(argument)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_match_the_kernel_headers() {
        assert_eq!(FEATURES, 0x8008_9860);
        assert_eq!(ENABLE, 0x4008_9861);
        assert_eq!(READ_FAIL, 0x4008_9862);
        assert_eq!(READ_COMPLETE, opcode::write::<i32>(TYPE, 1));
    }
}
