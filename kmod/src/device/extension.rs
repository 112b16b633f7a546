// SPDX-License-Identifier: GPL-2.0

//! Extensions of the protocol, off until the daemon enables them.
//!
//! | ioctl | on | argument | effect |
//! | --- | --- | --- | --- |
//! | [`FEATURES`] | device | `u64 *` out | returns the known extensions |
//! | [`ENABLE`] | device | `u64 *` in | sets the extensions of this session |
//! | [`READ_FAIL`] | object | `u32 msg_id, i32 errno` in | answers a READ with an errno |

use crate::cache::Cache;
use kernel::{ioctl, prelude::*, uaccess::UserSlice};
use ondine_ondemand::{platform::CacheOps, Errno};

/// Type of the protocol's ioctls.
const TYPE: u32 = 0x98;

/// Returns the known extensions.
const FEATURES: u32 = ioctl::_IOR::<u64>(TYPE, 0x60);
/// Sets the extensions of this session.
const ENABLE: u32 = ioctl::_IOW::<u64>(TYPE, 0x61);
/// Answers a READ with an errno; needs [`READ_ERRORS`].
pub(super) const READ_FAIL: u32 = ioctl::_IOW::<[u32; 2]>(TYPE, 0x62);

/// Extension: a READ may be answered with an errno, which its readers get.
const READ_ERRORS: u64 = 1 << 0;
/// All known extensions.
const ALL: u64 = READ_ERRORS;

/// The first of the errnos that are internal to the kernel, and must not be the
/// result of a read.
const KERNEL_ERRNOS: i32 = 512;

/// Executes an ioctl of the device.
///
/// # Errors
///
/// ENOTTY if it is not known; EINVAL for unknown extensions; EFAULT.
pub(super) fn device_ioctl(cache: &Cache, command: c_uint, argument: usize) -> Result {
    let user = UserSlice::new(UserPtr::from_addr(argument), size_of::<u64>());
    match command {
        FEATURES => user.writer().write(&ALL),
        ENABLE => {
            let features: u64 = user.reader().read()?;
            if features & !ALL != 0 {
                return Err(EINVAL);
            }
            cache.lock().features = features;
            Ok(())
        }
        _ => Err(ENOTTY),
    }
}

/// Reads the argument of [`READ_FAIL`]: message id and errno.
///
/// # Errors
///
/// EINVAL if the extension is off, or if the number is not an errno; EFAULT.
pub(super) fn read_failure(cache: &Cache, argument: usize) -> Result<(u32, Errno)> {
    if cache.lock().features & READ_ERRORS == 0 {
        return Err(EINVAL);
    }
    let user = UserSlice::new(UserPtr::from_addr(argument), 2 * size_of::<u32>());
    let mut reader = user.reader();
    let id: u32 = reader.read()?;
    let errno: i32 = reader.read()?;
    let errno = Errno::from_number(errno).filter(|_| errno < KERNEL_ERRNOS);
    Ok((id, errno.ok_or(EINVAL)?))
}
