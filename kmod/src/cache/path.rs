// SPDX-License-Identifier: GPL-2.0

//! The path of the cache file of an object.

use super::error;
use kernel::{prelude::*, str::CString};
use ondine_ondemand::names::{
    cookie_file, cookie_hash, fan_out_dir, volume_dir, volume_hash, NAME_MAX,
};

/// The path of a cache file, relative to the cache directory.
pub(crate) struct CacheFilePath {
    volume: CString,
    fan_out: CString,
    file: CString,
}

impl CacheFilePath {
    /// The path for the object with these keys.
    ///
    /// # Errors
    ///
    /// As [`volume_dir`] and [`cookie_file`]; ENOMEM.
    pub(super) fn new(volume: &[u8], cookie: &[u8]) -> Result<Self> {
        let mut name = [0u8; NAME_MAX];
        let hash = cookie_hash(volume_hash(volume), cookie);
        Ok(Self {
            fan_out: c_string(&fan_out_dir(hash))?,
            volume: c_string(volume_dir(volume, &mut name).map_err(error)?)?,
            file: c_string(cookie_file(cookie, &mut name).map_err(error)?)?,
        })
    }

    /// The components of the path.
    pub(super) fn components(&self) -> [&CStr; 4] {
        [c"cache", &self.volume, &self.fan_out, &self.file]
    }
}

/// A copy of `name` with a NUL at its end.
///
/// # Errors
///
/// EINVAL if there is a NUL in it; ENOMEM.
pub(crate) fn c_string(name: &[u8]) -> Result<CString> {
    let mut bytes = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
    bytes.extend_from_slice(name, GFP_KERNEL)?;
    bytes.push(0, GFP_KERNEL)?;
    let name = CStr::from_bytes_with_nul(&bytes).map_err(|_| EINVAL)?;
    Ok(CString::try_from(name)?)
}
