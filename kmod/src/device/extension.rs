// SPDX-License-Identifier: GPL-2.0

//! What ondine adds to the protocol: off until a daemon asks for it.
//!
//! | ioctl | on | argument | effect |
//! | --- | --- | --- | --- |
//! | [`FEATURES`] | device | `u64 *` out | which extensions there are |
//! | [`ENABLE`] | device | `u64 *` in | which of them to switch on, for this session |
//! | [`READ_FAIL`] | object | `u32 msg_id, i32 errno` in | answers a READ with an errno |

use crate::cache::Cache;
use kernel::{ioctl, prelude::*, uaccess::UserSlice};
use ondine_ondemand::Errno;

/// Type of the protocol's ioctls.
const TYPE: u32 = 0x98;

/// Gives the extensions that there are.
const FEATURES: u32 = ioctl::_IOR::<u64>(TYPE, 0x60);
/// Switches extensions on.
const ENABLE: u32 = ioctl::_IOW::<u64>(TYPE, 0x61);
/// Answers a READ with an errno; needs [`READ_ERRORS`].
pub(super) const READ_FAIL: u32 = ioctl::_IOW::<[u32; 2]>(TYPE, 0x62);

/// A READ may be answered with an errno, which the readers get.
const READ_ERRORS: u64 = 1 << 0;
/// All extensions.
const ALL: u64 = READ_ERRORS;

/// Errnos from here on are the kernel's own: a read that returned one would
/// mean something else to it.
const KERNEL_ERRNOS: i32 = 512;

/// An ioctl of the device.
///
/// # Errors
///
/// ENOTTY for one that does not exist; EINVAL for unknown extensions; EFAULT.
pub(super) fn ask(cache: &Cache, command: c_uint, argument: usize) -> Result {
    let user = UserSlice::new(UserPtr::from_addr(argument), size_of::<u64>());
    match command {
        FEATURES => user.writer().write(&ALL),
        ENABLE => {
            let wanted: u64 = user.reader().read()?;
            if wanted & !ALL != 0 {
                return Err(EINVAL);
            }
            cache.lock().features = wanted;
            Ok(())
        }
        _ => Err(ENOTTY),
    }
}

/// Reads the argument of [`READ_FAIL`]: message id and errno.
///
/// # Errors
///
/// EINVAL if the extension is off, or for a number that is no errno; EFAULT.
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
