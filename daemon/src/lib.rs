// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The user side of on-demand loading: a daemon that fetches the bytes that mounted images miss.
//!
//! | module | contents |
//! | --- | --- |
//! | [`protocol`] | messages from and commands to `/dev/cachefiles`; knows nothing of backends |
//! | [`backend`] | sources of blobs: a directory, an HTTP server; knows nothing of the kernel |
//! | [`session`] | the daemon: receives messages, fetches bytes, answers |
//! | [`misbehaviour`] | faults to inject, for tests of the kernel's side |
//!
//! The program `ondined` is [`session::bind()`] and [`session::Session`] behind a command line:
//!
//! ```no_run
//! use std::path::Path;
//!
//! use ondined::backend::Local;
//! use ondined::protocol::{Device, DEVICE};
//! use ondined::session::{bind, Options, Session};
//!
//! let device = Device::open(Path::new(DEVICE))?;
//! bind(&device, Path::new("/var/cache/ondine"), None)?;
//! let blobs = Local::new(Path::new("/srv/blobs"))?;
//! Session::new(device, blobs, Options::default())?.run()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(unsafe_code)]

pub mod backend;
pub mod misbehaviour;
pub mod protocol;
pub mod session;
