// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The extensions that `ondine.ko` adds to the protocol. All are off until a daemon enables them.
//!
//! | ioctl | on | argument | effect |
//! | --- | --- | --- | --- |
//! | `_IOR(0x98, 0x60, u64)` | device | out: [`Features`] | tells which extensions the driver has |
//! | `_IOW(0x98, 0x61, u64)` | device | in: [`Features`] | enables these, until the device is closed |
//! | `_IOW(0x98, 0x62, struct { u32 msg_id; i32 errno; })` | object | in | with [`Features::READ_ERRORS`]: completes a READ with an errno |
//!
//! The C driver returns ENOTTY for any ioctl on the device, which a daemon takes for "no
//! extensions".

/// A set of extensions, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// READs may be completed with an errno, by [`Object::fail`](super::Object::fail).
    pub const READ_ERRORS: Self = Self(1 << 0);

    /// Returns whether all of `others` are in this set.
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_its_subsets() {
        assert!(Features(3).contains(Features::READ_ERRORS));
        assert!(!Features(2).contains(Features::READ_ERRORS));
        assert!(Features::NONE.contains(Features::NONE));
    }
}
