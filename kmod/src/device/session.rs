// SPDX-License-Identifier: GPL-2.0

//! One opening of the device: the commands that are written to it.

use crate::{
    cache::{c_string, error, Attached, Cache, Ticket},
    vfs::{Found, Store},
};
use kernel::{
    new_mutex, prelude::*, str::CString, sync::Arc, sync::Mutex, uaccess::UserSliceReader,
};
use ondine_ondemand::{
    command::{Mode, TEXT_MAX},
    limits::Resource,
    names::{CACHE_DIR, GRAVEYARD_DIR},
    requests::Outcome,
    Answer, Command, Errno, Limits,
};

/// A daemon that has the device open.
#[pin_data]
pub(super) struct Session {
    cache: Attached,
    #[pin]
    settings: Mutex<Settings>,
}

/// What commands have set.
#[derive(Default)]
struct Settings {
    dir: Option<CString>,
    tagged: bool,
    limits: Limits,
    /// `bind ondemand` was tried: from then on answers are taken.
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
    /// Those of the protocol, section 2; EFAULT.
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
                drop(settings_of_answer(settings)?);
                self.copen(msg_id, answer)
            }
            Command::Restore => {
                drop(settings_of_answer(settings)?);
                self.cache.lock().table.restore();
                self.cache.pollers().notify_all();
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
            // No security module is asked: files are made with the credentials
            // of who binds.
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
            Command::Cull(name) => self.cull(&*self.store()?, name),
            Command::InUse(name) => self.unused(&*self.store()?, name).map(drop),
            Command::Debug(_) => Ok(()),
        }
    }

    fn bind(&self, settings: &mut Settings, mode: Option<Mode>) -> Result {
        let dir = settings.dir.as_ref().ok_or(EINVAL)?;
        if settings.bound {
            return Err(EBUSY);
        }
        match mode {
            None => return Err(EINVAL),
            // A cache for network file systems is the stock module's business.
            Some(Mode::Cache) => return Err(EOPNOTSUPP),
            Some(Mode::OnDemand) => {}
        }
        let store = Store::open(dir);
        settings.on_demand = true;
        let store = Arc::new(store?, GFP_KERNEL)?;
        let stop = settings.limits.levels(Resource::Blocks).stop;
        let room = store.room()?;
        let files = settings.limits.levels(Resource::Files).stop;
        if room.blocks < u64::from(stop) || room.files < u64::from(files) {
            return Err(ENOBUFS);
        }
        store.probe()?;
        for name in [CACHE_DIR, GRAVEYARD_DIR] {
            store.make_directory(&c_string(name)?)?;
        }
        self.cache.bind(store, stop);
        settings.bound = true;
        // From now on it has a tag, if only the default one.
        settings.tagged = true;
        Ok(())
    }

    fn copen(&self, msg_id: u32, answer: Answer) -> Result {
        let opened = self.cache.lock().table.opened(msg_id).map_err(error)?;
        let result = match answer {
            Answer::Size(size) => opened.payload.set_size(size).map_err(|error| {
                Errno::from_number(error.to_errno().wrapping_neg()).unwrap_or(Errno::EIO)
            }),
            Answer::Refused(errno) | Answer::Bad(errno) => Err(errno),
        };
        let end = |ticket: Arc<Ticket>, outcome: Outcome| ticket.cancel(outcome);
        let (answered, readable) =
            self.cache
                .lock()
                .table
                .answer_open(opened.sequence, result, end);
        if let Some(answered) = answered {
            if let Some(ticket) = answered.ticket {
                ticket.answer(answered.outcome);
            }
        }
        if readable {
            self.cache.pollers().notify_all();
        }
        match (answer, result) {
            // That is what the daemon wanted.
            (Answer::Refused(_), _) => Ok(()),
            (_, result) => result.map_err(error),
        }
    }

    /// Where cache files are.
    ///
    /// # Errors
    ///
    /// EIO if nothing is bound.
    fn store(&self) -> Result<Arc<Store>> {
        self.cache.store().map_err(|_| EIO)
    }

    /// What has this name in the current directory: a cache file, or a directory
    /// of cache files.
    ///
    /// # Errors
    ///
    /// EBUSY if a mount uses it; as [`Store::look_up`].
    fn unused(&self, store: &Store, name: &[u8]) -> Result<Found> {
        let found = store.look_up(&c_string(name)?)?;
        if self.cache.uses(|object| object.file().is_in(&found)) {
            return Err(EBUSY);
        }
        Ok(found)
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// As [`Self::unused`]; what removing gives.
    fn cull(&self, store: &Store, name: &[u8]) -> Result {
        let _held = self.cache.hold();
        store.remove(&self.unused(store, name)?)
    }
}

/// Passes on settings under which answers are taken.
///
/// # Errors
///
/// EOPNOTSUPP if nobody tried to bind the cache for on-demand use.
fn settings_of_answer<T: core::ops::Deref<Target = Settings>>(settings: T) -> Result<T> {
    settings.on_demand.then_some(settings).ok_or(EOPNOTSUPP)
}

/// Sets what can be set once only.
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
