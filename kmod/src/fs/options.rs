// SPDX-License-Identifier: GPL-2.0

//! Mount options.

use crate::{
    cache::WaitPolicy,
    vfs::{self, MountContext, MountOption, MountSource},
};
use kernel::{
    prelude::*,
    str::CString,
    sync::atomic::{Atomic, Relaxed},
};

/// Mount options of an image.
pub(crate) struct MountOptions {
    /// Extra devices, in the order of the device table; taken by the mount.
    pub(super) devices: KVec<MountSource>,
    /// Their paths or keys; empty for an open file.
    device_names: KVec<CString>,
    /// Byte of the source at which the image begins.
    pub(super) offset: u64,
    /// Blobs are read by direct I/O wherever that is possible.
    pub(super) direct_io: bool,
    /// Options of an on-demand mount.
    pub(super) cache: CacheOptions,
    user_xattr: Atomic<bool>,
    acl: Atomic<bool>,
}

/// Options of an on-demand mount.
#[derive(Default)]
pub(crate) struct CacheOptions {
    pub(super) fsid: Option<CString>,
    pub(super) domain_id: Option<CString>,
    pub(super) policy: WaitPolicy,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            devices: KVec::new(),
            device_names: KVec::new(),
            offset: 0,
            direct_io: false,
            cache: CacheOptions::default(),
            user_xattr: Atomic::new(true),
            acl: Atomic::new(true),
        }
    }
}

impl MountOptions {
    pub(super) fn set(&mut self, option: MountOption) -> Result {
        match option {
            MountOption::Device(source) => {
                let name = CString::try_from(source.name())?;
                self.device_names.push(name, GFP_KERNEL)?;
                self.devices.push(source, GFP_KERNEL)?;
            }
            MountOption::UserXattr(on) => self.user_xattr.store(on, Relaxed),
            MountOption::Acl(on) => self.acl.store(on, Relaxed),
            MountOption::DirectIo(on) => self.direct_io = on,
            MountOption::Offset(offset) => self.offset = offset,
            MountOption::FsId(key) => self.cache.fsid = Some(key),
            MountOption::DomainId(key) => self.cache.domain_id = Some(key),
            MountOption::Hard(hard) => self.cache.policy.hard = hard,
            MountOption::Timeout(seconds) => {
                self.cache.policy.limit = (seconds != 0).then(|| seconds.saturating_mul(1000));
            }
        }
        Ok(())
    }

    /// Returns whether `user.*` attributes are visible.
    pub(super) fn user_xattr(&self) -> bool {
        self.user_xattr.load(Relaxed)
    }

    /// Returns whether POSIX ACLs are in effect.
    pub(super) fn acl(&self) -> bool {
        self.acl.load(Relaxed)
    }

    /// The same options, for a remount to change.
    pub(super) fn for_remount(&self) -> Self {
        Self {
            devices: KVec::new(),
            device_names: KVec::new(),
            offset: self.offset,
            direct_io: self.direct_io,
            cache: CacheOptions {
                fsid: None,
                domain_id: None,
                policy: self.cache.policy,
            },
            user_xattr: Atomic::new(self.user_xattr()),
            acl: Atomic::new(self.acl()),
        }
    }

    /// Checks that `new`, made by [`Self::for_remount`], differs in nothing that is
    /// fixed at mount. mount(8) repeats all options of `/etc/fstab`.
    ///
    /// # Errors
    ///
    /// EINVAL, and a message that names the option.
    pub(super) fn check_remount(&self, new: &Self, context: &MountContext<'_>) -> Result {
        let (cache, new_cache) = (&self.cache, &new.cache);
        let fixed = [
            (
                !new.device_names.is_empty() && !same(&self.device_names, &new.device_names),
                c"a remount cannot change device=",
            ),
            (
                new.offset != self.offset,
                c"a remount cannot change fsoffset=",
            ),
            (
                new.direct_io != self.direct_io,
                c"a remount cannot change directio",
            ),
            (
                !same_key(&cache.fsid, &new_cache.fsid),
                c"a remount cannot change fsid=",
            ),
            (
                !same_key(&cache.domain_id, &new_cache.domain_id),
                c"a remount cannot change domain_id=",
            ),
            (
                new_cache.policy.hard != cache.policy.hard,
                c"a remount cannot change hard or soft",
            ),
            (
                new_cache.policy.limit != cache.policy.limit,
                c"a remount cannot change timeout=",
            ),
        ];
        match fixed.into_iter().find(|(differs, _)| *differs) {
            Some((_, message)) => {
                context.error(message);
                Err(EINVAL)
            }
            None => Ok(()),
        }
    }

    /// Applies the options that a remount may change. Returns whether POSIX ACLs
    /// are in effect.
    pub(super) fn remount(&self, new: &Self) -> bool {
        self.user_xattr.store(new.user_xattr(), Relaxed);
        self.acl.store(new.acl(), Relaxed);
        new.acl()
    }

    /// Prints the options for `/proc/mounts`.
    pub(super) fn show(&self, to: &mut vfs::OptionWriter<'_>) {
        let no = |on: bool| if on { "" } else { "no" };
        to.add(format_args!("{}user_xattr", no(self.user_xattr())));
        to.add(format_args!("{}acl", no(self.acl())));
        if self.direct_io {
            to.add(format_args!("directio"));
        }
        self.cache.show(to);
        if self.offset != 0 {
            to.add(format_args!("fsoffset={}", self.offset));
        }
    }
}

/// Returns whether two lists of names are equal.
fn same(old: &[CString], new: &[CString]) -> bool {
    let equal = |(old, new): (&CString, &CString)| old.to_bytes() == new.to_bytes();
    old.len() == new.len() && old.iter().zip(new).all(equal)
}

/// Returns whether a remount gives no key, or the one of the mount.
fn same_key(old: &Option<CString>, new: &Option<CString>) -> bool {
    match (old, new) {
        (_, None) => true,
        (Some(old), Some(new)) => old.to_bytes() == new.to_bytes(),
        (None, Some(_)) => false,
    }
}

impl CacheOptions {
    fn show(&self, to: &mut vfs::OptionWriter<'_>) {
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
