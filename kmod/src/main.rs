// SPDX-License-Identifier: GPL-2.0

//! Ondine: on-demand container images, a read-only EROFS file system.
//!
//! This file registers and unregisters, nothing else. Unsafe code lives in
//! [`sys`] and [`vfs`] only; the file system itself, on top of them, has none.

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

/// Everything that lives as long as the module. Fields unregister in order of
/// declaration.
#[pin_data]
struct OndineModule {
    state: vfs::DebugDirectory<cache::Cache>,
    #[pin]
    file_system: vfs::Registration<fs::Ondine>,
    #[pin]
    ticker: vfs::Ticker<cache::Cache>,
    #[pin]
    device: device::Registration,
}

impl kernel::InPlaceModule for OndineModule {
    fn init(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            let cache = cache::Cache::new()?;
            // The device is the last thing that can fail: from then on there may
            // be users of it, and then of the file system.
            let parts = try_pin_init!(Self {
                ticker <- vfs::Ticker::new(cache.clone()),
                state: vfs::DebugDirectory::new(cache.clone()),
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
