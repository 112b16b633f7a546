// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::vfs::{self, MountOption, Source};
use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

/// What a mount was asked for.
pub(crate) struct Options {
    /// Extra devices, in the order of the device table.
    pub(super) devices: KVec<Source>,
    /// Byte of the source where the image begins.
    pub(super) offset: u64,
    /// Whether blobs are read past their own page cache wherever that works.
    pub(super) direct_io: bool,
    user_xattr: Atomic<bool>,
    acl: Atomic<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            devices: KVec::new(),
            offset: 0,
            direct_io: false,
            user_xattr: Atomic::new(true),
            acl: Atomic::new(true),
        }
    }
}

impl Options {
    pub(super) fn set(&mut self, option: MountOption) -> Result {
        match option {
            MountOption::Device(source) => self.devices.push(source, GFP_KERNEL)?,
            MountOption::UserXattr(on) => self.user_xattr.store(on, Relaxed),
            MountOption::Acl(on) => self.acl.store(on, Relaxed),
            MountOption::DirectIo(on) => self.direct_io = on,
            MountOption::Offset(offset) => self.offset = offset,
        }
        Ok(())
    }

    /// Whether `user.*` attributes can be read and listed.
    pub(super) fn user_xattr(&self) -> bool {
        self.user_xattr.load(Relaxed)
    }

    /// Whether POSIX ACLs are honoured.
    pub(super) fn acl(&self) -> bool {
        self.acl.load(Relaxed)
    }

    /// The same options, for a remount to change.
    pub(super) fn again(&self) -> Self {
        Self {
            devices: KVec::new(),
            offset: self.offset,
            direct_io: self.direct_io,
            user_xattr: Atomic::new(self.user_xattr()),
            acl: Atomic::new(self.acl()),
        }
    }

    /// Takes over what a remount may change; tells whether ACLs are honoured.
    ///
    /// # Errors
    ///
    /// EINVAL for what is settled by the first mount: where the image is, and
    /// how it is read.
    pub(super) fn remount(&self, new: &Self) -> Result<bool> {
        let settled =
            new.devices.is_empty() && new.offset == self.offset && new.direct_io == self.direct_io;
        if !settled {
            return Err(EINVAL);
        }
        self.user_xattr.store(new.user_xattr(), Relaxed);
        self.acl.store(new.acl(), Relaxed);
        Ok(new.acl())
    }

    /// As `/proc/mounts` shows them.
    pub(super) fn show(&self, to: &mut vfs::Options<'_>) {
        let no = |on: bool| if on { "" } else { "no" };
        to.add(format_args!("{}user_xattr", no(self.user_xattr())));
        to.add(format_args!("{}acl", no(self.acl())));
        if self.direct_io {
            to.add(format_args!("directio"));
        }
        if self.offset != 0 {
            to.add(format_args!("fsoffset={}", self.offset));
        }
    }
}
