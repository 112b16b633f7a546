// SPDX-License-Identifier: GPL-2.0

//! An opening of the device: the commands that the daemon writes.

use crate::{
    cache::{c_string, errno, error, Cache, CacheAttachment, ObjectRef},
    vfs::{CacheDir, CacheDirEntry, Unfit},
};
use kernel::{
    new_mutex, prelude::*, str::CString, sync::Arc, sync::Mutex, uaccess::UserSliceReader,
};
use ondine_ondemand::{
    command::{Mode, TEXT_MAX},
    limits::Resource,
    names::{CACHE_DIR, GRAVEYARD_DIR},
    session, Command, Limits,
};

/// A daemon that has the device open.
#[pin_data]
pub(super) struct Session {
    cache: CacheAttachment,
    #[pin]
    settings: Mutex<Settings>,
}

/// The settings that commands have made.
#[derive(Default)]
struct Settings {
    dir: Option<CString>,
    tagged: bool,
    limits: Limits,
    /// `bind ondemand` was tried: from then on answers are accepted.
    on_demand: bool,
    bound: bool,
}

impl Session {
    /// Attaches to the cache.
    ///
    /// # Errors
    ///
    /// As [`Cache::attach`]; ENOMEM.
    pub(super) fn new(cache: Arc<Cache>) -> Result<Pin<KBox<Self>>> {
        let cache = Cache::attach(cache)?;
        KBox::pin_init(
            pin_init!(Self {
                cache,
                settings <- new_mutex!(Settings::default(), "ondine::Session::settings"),
            }),
            GFP_KERNEL,
        )
    }

    /// The cache.
    pub(super) fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Executes what is written to the device.
    ///
    /// # Errors
    ///
    /// Those of docs/spec/cachefiles-ondemand.md section 2; EFAULT.
    pub(super) fn command(&self, mut from: UserSliceReader) -> Result {
        if from.len() > TEXT_MAX {
            return Err(EOPNOTSUPP);
        }
        let mut text = KVec::from_elem(0u8, from.len(), GFP_KERNEL)?;
        from.read_slice(&mut text)?;
        let mut settings = self.settings.lock();
        let command = Command::parse(&text).map_err(|errno| {
            if text.starts_with(b"copen") && !settings.on_demand {
                EOPNOTSUPP
            } else {
                error(errno)
            }
        })?;
        match command {
            Command::Copen { msg_id, answer } => {
                // A command of another thread need not wait for the file system.
                drop(accepting_answers(settings)?);
                let cache = self.cache();
                let set_size =
                    |object: &ObjectRef, size| cache.set_size(object, size).map_err(errno);
                session::answer_open(&**cache, msg_id, answer, set_size).map_err(error)
            }
            Command::Restore => {
                drop(accepting_answers(settings)?);
                session::restore(&**self.cache());
                Ok(())
            }
            Command::Dir(path) => set_once(settings.dir.is_some(), || {
                settings.dir = Some(c_string(path)?);
                Ok(())
            }),
            Command::Tag(_) => set_once(settings.tagged, || {
                settings.tagged = true;
                Ok(())
            }),
            // Security modules are not consulted: files are made with the
            // credentials of the binding task.
            Command::Secctx(_) => Err(EOPNOTSUPP),
            Command::Limit {
                resource,
                threshold,
                percent,
            } => settings
                .limits
                .set(resource, threshold, percent)
                .map_err(error),
            Command::Bind(mode) => self.bind(&mut settings, mode),
            Command::Cull(name) => self.cull(&*self.dir()?, name),
            Command::InUse(name) => self.unused(&*self.dir()?, name).map(drop),
            Command::Debug(_) => Ok(()),
        }
    }

    fn bind(&self, settings: &mut Settings, mode: Option<Mode>) -> Result {
        let path = settings.dir.as_ref().ok_or(EINVAL)?;
        let refuse = |unfit: Unfit| unfit.log(path.to_bytes());
        if settings.bound {
            return Err(EBUSY);
        }
        match mode {
            None => return Err(EINVAL),
            // Caches of network file systems are left to the kernel's own module.
            Some(Mode::Cache) => return Err(EOPNOTSUPP),
            Some(Mode::OnDemand) => {}
        }
        let dir = CacheDir::open(path).map_err(refuse);
        settings.on_demand = true;
        let dir = Arc::new(dir?, GFP_KERNEL)?;
        let stop = settings.limits.levels(Resource::Blocks).stop;
        let space = dir.free_space()?;
        let files = settings.limits.levels(Resource::Files).stop;
        if space.blocks < u64::from(stop) || space.files < u64::from(files) {
            let reason = "has fewer blocks or inodes free than bstop and fstop demand";
            return Err(refuse(Unfit::new(ENOBUFS, reason)));
        }
        dir.probe().map_err(refuse)?;
        for name in [CACHE_DIR, GRAVEYARD_DIR] {
            dir.make_directory(&c_string(name)?).map_err(|error| {
                let reason = "cannot have its directories cache and graveyard";
                refuse(Unfit::new(error, reason))
            })?;
        }
        session::bind(&**self.cache(), dir, stop);
        settings.bound = true;
        // The default tag, unless another was set, cannot be changed any more.
        settings.tagged = true;
        Ok(())
    }

    /// The cache directory.
    ///
    /// # Errors
    ///
    /// EIO if the cache is not bound.
    fn dir(&self) -> Result<Arc<CacheDir>> {
        self.cache.dir().map_err(|_| EIO)
    }

    /// The cache file, or directory of cache files, with this name in the current
    /// directory.
    ///
    /// # Errors
    ///
    /// EBUSY if a mount uses it; as [`CacheDir::look_up`].
    fn unused(&self, dir: &CacheDir, name: &[u8]) -> Result<CacheDirEntry> {
        let found = dir.look_up(&c_string(name)?)?;
        if self.cache.any_object(|object| object.file().is_in(&found)) {
            return Err(EBUSY);
        }
        Ok(found)
    }

    /// Removes the cache file, or directory of cache files, with this name in the
    /// current directory.
    ///
    /// # Errors
    ///
    /// As [`Self::unused`]; errors of the removal.
    fn cull(&self, dir: &CacheDir, name: &[u8]) -> Result {
        // A mount must not start to use the file after it was found unused.
        let _making = self.cache.lock_making();
        dir.remove(&self.unused(dir, name)?)
    }
}

/// Returns the settings if answers are accepted.
///
/// # Errors
///
/// EOPNOTSUPP if the daemon has not tried to bind the cache on demand.
fn accepting_answers<T: core::ops::Deref<Target = Settings>>(settings: T) -> Result<T> {
    settings.on_demand.then_some(settings).ok_or(EOPNOTSUPP)
}

/// Makes a setting that can be made once only.
///
/// # Errors
///
/// EEXIST the second time.
fn set_once(is_set: bool, set: impl FnOnce() -> Result) -> Result {
    if is_set {
        return Err(EEXIST);
    }
    set()
}
