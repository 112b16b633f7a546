// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::vfs::{self, MountOption, Source};
use kernel::prelude::*;

/// What a mount was asked for.
pub(crate) struct Options {
    /// Extra devices, in the order of the device table.
    pub(super) devices: KVec<Source>,
    /// Whether `user.*` attributes can be read and listed.
    pub(super) user_xattr: bool,
    /// Whether POSIX ACLs are honoured.
    pub(super) acl: bool,
    /// Whether blobs are read past their own page cache wherever that works.
    pub(super) direct_io: bool,
    /// Byte of the source where the image begins.
    pub(super) offset: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            devices: KVec::new(),
            user_xattr: true,
            acl: true,
            direct_io: false,
            offset: 0,
        }
    }
}

impl Options {
    pub(super) fn set(&mut self, option: MountOption) -> Result {
        match option {
            MountOption::Device(source) => self.devices.push(source, GFP_KERNEL)?,
            MountOption::UserXattr(on) => self.user_xattr = on,
            MountOption::Acl(on) => self.acl = on,
            MountOption::DirectIo(on) => self.direct_io = on,
            MountOption::Offset(offset) => self.offset = offset,
        }
        Ok(())
    }

    /// A remount may repeat options, and cannot change where the image is.
    pub(super) fn check_remount(&self, _current: &Self) -> Result {
        if self.offset != 0 || !self.devices.is_empty() {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// As `/proc/mounts` shows them.
    pub(super) fn show(&self, to: &mut vfs::Options<'_>) {
        let no = |on: bool| if on { "" } else { "no" };
        to.add(format_args!("{}user_xattr", no(self.user_xattr)));
        to.add(format_args!("{}acl", no(self.acl)));
        if self.direct_io {
            to.add(format_args!("directio"));
        }
        if self.offset != 0 {
            to.add(format_args!("fsoffset={}", self.offset));
        }
    }
}
