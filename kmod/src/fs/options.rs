// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::{
    cache::Policy,
    vfs::{self, MountOption, Source},
};
use kernel::{
    prelude::*,
    str::CString,
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
    /// What an image in the cache is called, and how it is waited for.
    pub(super) cached: Cached,
    user_xattr: Atomic<bool>,
    acl: Atomic<bool>,
}

/// Options of an on-demand mount.
#[derive(Default)]
pub(crate) struct Cached {
    pub(super) fsid: Option<CString>,
    pub(super) domain_id: Option<CString>,
    pub(super) policy: Policy,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            devices: KVec::new(),
            offset: 0,
            direct_io: false,
            cached: Cached::default(),
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
            MountOption::FsId(key) => self.cached.fsid = Some(key),
            MountOption::DomainId(key) => self.cached.domain_id = Some(key),
            MountOption::Hard(hard) => self.cached.policy.hard = hard,
            MountOption::Timeout(seconds) => {
                self.cached.policy.limit = (seconds != 0).then(|| seconds.saturating_mul(1000));
            }
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
            // A remount ignores what they say, as the C driver did.
            cached: Cached::default(),
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
        self.cached.show(to);
        if self.offset != 0 {
            to.add(format_args!("fsoffset={}", self.offset));
        }
    }
}

impl Cached {
    fn show(&self, to: &mut vfs::Options<'_>) {
        let Some(fsid) = &self.fsid else {
            return;
        };
        to.add_value("fsid", fsid);
        if let Some(domain) = &self.domain_id {
            to.add_value("domain_id", domain);
        }
        to.add(format_args!(
            "{}",
            if self.policy.hard { "hard" } else { "soft" }
        ));
        if let Some(limit) = self.policy.limit {
            to.add(format_args!("timeout={}", limit / 1000));
        }
    }
}
