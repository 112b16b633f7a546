// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A cache comes online.

use std::path::Path;

use rustix::io::Errno;
use thiserror::Error;

use crate::protocol::{Command, Device};

/// A cache that the kernel does not take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the kernel refuses {command:?}: {errno}{}", hint(*errno, command))]
pub struct BindError {
    /// The command that failed.
    pub command: String,
    /// What it returned.
    pub errno: Errno,
}

/// Brings the cache in `dir` online, on demand. Without a tag it is called `CacheFiles`.
///
/// # Errors
/// See [`BindError`].
pub fn bind(device: &Device, dir: &Path, tag: Option<&str>) -> Result<(), BindError> {
    let tag = tag.map(Command::Tag);
    for command in [Some(Command::Dir(dir)), tag, Some(Command::BindOnDemand)] {
        let Some(text) = command.as_ref().map(Command::encode) else {
            continue;
        };
        device.command(&text).map_err(|errno| BindError {
            command: String::from_utf8_lossy(&text).into_owned(),
            errno,
        })?;
    }
    Ok(())
}

/// What the errno of a refused command means (section 2).
fn hint(errno: Errno, command: &str) -> &'static str {
    if !command.starts_with("bind") {
        return "";
    }
    match errno {
        Errno::BUSY => "; another cache has this directory or this tag",
        Errno::OPNOTSUPP => {
            "; the cache's file system needs O_TMPFILE, xattrs and sync, which ext4 has and tmpfs \
             has not, and blocks no larger than a page"
        }
        Errno::NOBUFS => "; the cache's file system is full up to its stop limit",
        Errno::INVAL => "; the driver was built without on-demand mode, or the mount is idmapped",
        Errno::ROFS => "; the cache's file system is mounted read-only",
        _ => "",
    }
}
