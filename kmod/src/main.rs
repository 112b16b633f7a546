// SPDX-License-Identifier: GPL-2.0

//! Ondine: on-demand container images, a read-only EROFS file system.
//!
//! Registers with the kernel, and unregisters. Unsafe code is in [`sys`], [`vfs`]
//! and the file operations of [`device`]; the file system and the cache, which
//! are built on them, have none.

#[deny(unsafe_code)]
mod cache;
mod device;
#[deny(unsafe_code)]
mod fs;
mod sys;
mod vfs;

use kernel::prelude::*;

module! {
    type: OndineModule,
    name: "ondine",
    authors: ["The Ondine authors"],
    description: "On-demand container images: a read-only EROFS file system",
    license: "GPL",
    alias: ["fs-ondine"],
}

/// The registrations of the module, which are dropped in order of declaration.
#[pin_data]
struct OndineModule {
    state: vfs::DebugDirectory<cache::Cache>,
    #[pin]
    suspend: vfs::SuspendNotifier<cache::Cache>,
    #[pin]
    file_system: vfs::Registration<fs::Ondine>,
    #[pin]
    device: device::Registration,
}

impl kernel::InPlaceModule for OndineModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let cache = cache::Cache::new()?;
            // The device is registered last: an error after that would unload the
            // module under an open device. Mounting is allowed when init cannot
            // fail any more.
            let parts = try_pin_init!(Self {
                state: vfs::DebugDirectory::new(cache.clone()),
                suspend <- vfs::SuspendNotifier::new(cache.clone()),
                file_system <- vfs::Registration::new(module, cache.clone()),
                device <- device::Registration::new(cache),
            });
            Ok(parts.pin_chain(|module| {
                module.file_system.open();
                Ok(())
            }))
        })
    }
}
