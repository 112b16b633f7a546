// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Bringing a cache online.

use std::path::Path;

use rustix::io::Errno;
use thiserror::Error;

use crate::protocol::{Command, Device};

/// A command that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the kernel refuses {command:?}: {errno}{}", hint(*errno, command))]
pub struct BindError {
    /// Text of the command.
    pub command: String,
    /// Errno of its write(2).
    pub errno: Errno,
}

/// Brings the cache in the directory `dir` online in on-demand mode. Without `tag`, the kernel calls it
/// `CacheFiles`.
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

/// Cause of a refused bind (`docs/spec/cachefiles-ondemand.md` section 2).
fn hint(errno: Errno, command: &str) -> &'static str {
    if !command.starts_with("bind") {
        return "";
    }
    match errno {
        Errno::BUSY => "; another cache uses this directory or this tag",
        Errno::OPNOTSUPP => {
            "; the file system of the cache must support O_TMPFILE, xattrs and sync, as ext4 does \
             and tmpfs does not, and its blocks must not exceed a page"
        }
        Errno::NOBUFS => "; free space on the file system of the cache is below the stop limit",
        Errno::INVAL => {
            "; the driver lacks on-demand mode, or the directory is on an idmapped mount"
        }
        Errno::ROFS => "; the file system of the cache is mounted read-only",
        _ => "",
    }
}
