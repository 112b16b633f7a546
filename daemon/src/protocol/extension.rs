// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What `ondine.ko` adds to the protocol, off until a daemon asks for it.
//!
//! | ioctl | on | argument | effect |
//! | --- | --- | --- | --- |
//! | `_IOR(0x98, 0x60, u64)` | device | out: [`Features`] | which extensions there are |
//! | `_IOW(0x98, 0x61, u64)` | device | in: [`Features`] | which of them are on, for as long as the device is open |
//! | `_IOW(0x98, 0x62, struct { u32 msg_id; i32 errno; })` | object | in | with [`Features::READ_ERRORS`]: answers a READ with an errno |
//!
//! The C driver answers any ioctl on the device with ENOTTY, by which a daemon knows that there are
//! none.

use rustix::io::Errno;
use rustix::ioctl::{ioctl, opcode, Getter, Opcode, Setter};

use super::device::Device;
use super::message::MsgId;
use super::object::Object;

/// The type of the protocol's ioctls.
const TYPE: u8 = 0x98;
const FEATURES: Opcode = opcode::read::<u64>(TYPE, 0x60);
const ENABLE: Opcode = opcode::write::<u64>(TYPE, 0x61);
const READ_FAIL: Opcode = opcode::write::<ReadFail>(TYPE, 0x62);

/// Extensions, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// None.
    pub const NONE: Self = Self(0);
    /// A READ may be answered by [`Object::fail`].
    pub const READ_ERRORS: Self = Self(1 << 0);

    /// Whether all of `others` are among them.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// The argument of READ_FAIL.
#[repr(C)]
struct ReadFail {
    id: u32,
    /// From 1 to 511: the others are the kernel's own.
    errno: i32,
}

impl Device {
    /// The extensions that the kernel's side has.
    ///
    /// # Errors
    /// None that a cachefiles device gives: without extensions they are [`Features::NONE`].
    #[allow(unsafe_code)]
    pub fn features(&self) -> Result<Features, Errno> {
        // SAFETY: FEATURES writes the u64 that is in its number. A driver without it refuses it, and one
        // that meant something else by it would write no more than the number says.
        match unsafe { ioctl(self, Getter::<FEATURES, u64>::new()) } {
            Ok(bits) => Ok(Features(bits)),
            Err(Errno::NOTTY) => Ok(Features::NONE),
            Err(errno) => Err(errno),
        }
    }

    /// Switches these extensions on, and all others off.
    ///
    /// # Errors
    /// EINVAL: one of them does not exist; ENOTTY: there are none at all.
    #[allow(unsafe_code)]
    pub fn enable(&self, features: Features) -> Result<(), Errno> {
        // SAFETY: ENABLE reads the u64 that its number says, and writes nothing.
        unsafe { ioctl(self, Setter::<ENABLE, u64>::new(features.0)) }
    }
}

impl Object {
    /// Says that the READ `id` of this object cannot be served: its readers get `errno`, and bytes that
    /// were written for it are there. [`Features::READ_ERRORS`] must be on.
    ///
    /// # Errors
    /// EINVAL: the extension is off, or as for [`complete`](Self::complete); ENOTTY: no cachefiles
    /// object.
    #[allow(unsafe_code)]
    pub fn fail(&self, id: MsgId, errno: Errno) -> Result<(), Errno> {
        let argument = ReadFail {
            id: id.0,
            errno: errno.raw_os_error(),
        };
        // SAFETY: READ_FAIL reads the structure that its number says, and writes nothing.
        unsafe { ioctl(self, Setter::<READ_FAIL, ReadFail>::new(argument)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_numbers() {
        assert_eq!(FEATURES, 0x8008_9860);
        assert_eq!(ENABLE, 0x4008_9861);
        assert_eq!(READ_FAIL, 0x4008_9862);
        assert!(Features(3).contains(Features::READ_ERRORS));
        assert!(!Features(2).contains(Features::READ_ERRORS));
        assert!(Features::NONE.contains(Features::NONE));
    }

    #[test]
    fn a_device_without_extensions_has_none() {
        let device = Device::open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.features(), Ok(Features::NONE));
        assert_eq!(device.enable(Features::READ_ERRORS), Err(Errno::NOTTY));
    }

    #[test]
    fn a_file_that_is_no_object_fails_nothing() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let object = Object::from(std::os::fd::OwnedFd::from(file));
        assert_eq!(object.fail(MsgId(0), Errno::NODATA), Err(Errno::NOTTY));
    }
}
