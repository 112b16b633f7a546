// SPDX-License-Identifier: GPL-2.0

//! Error numbers: those of the protocol, and any that a daemon sends.

/// The largest errno, as the kernel has it.
const MAX: u16 = 4095;

/// A Linux error number, 1 to 4095.
///
/// A daemon may answer an OPEN with any of them
/// (docs/spec/cachefiles-ondemand.md section 5.1), so this is a number, with names for
/// some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(u16);

/// The error numbers of the protocol.
impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// No such file, or no such object.
    pub const ENOENT: Errno = Errno(2);
    /// A signal ended the wait.
    pub const EINTR: Errno = Errno(4);
    /// Input or output failed, or the cache is dead.
    pub const EIO: Errno = Errno(5);
    /// Not now: try again.
    pub const EAGAIN: Errno = Errno(11);
    /// Out of memory.
    pub const ENOMEM: Errno = Errno(12);
    /// A buffer of user space cannot be reached.
    pub const EFAULT: Errno = Errno(14);
    /// In use.
    pub const EBUSY: Errno = Errno(16);
    /// Exists already.
    pub const EEXIST: Errno = Errno(17);
    /// Not a directory.
    pub const ENOTDIR: Errno = Errno(20);
    /// An argument is not acceptable.
    pub const EINVAL: Errno = Errno(22);
    /// Too many open files.
    pub const EMFILE: Errno = Errno(24);
    /// Not an ioctl of this file.
    pub const ENOTTY: Errno = Errno(25);
    /// No space left.
    pub const ENOSPC: Errno = Errno(28);
    /// The file system is read-only.
    pub const EROFS: Errno = Errno(30);
    /// A number is out of range.
    pub const ERANGE: Errno = Errno(34);
    /// A name does not fit.
    pub const ENAMETOOLONG: Errno = Errno(36);
    /// The descriptor is in a bad state.
    pub const EBADFD: Errno = Errno(77);
    /// The message does not fit in the buffer.
    pub const EMSGSIZE: Errno = Errno(90);
    /// Not supported.
    pub const EOPNOTSUPP: Errno = Errno(95);
    /// No cache serves this.
    pub const ENOBUFS: Errno = Errno(105);
    /// The wait has lasted too long.
    pub const ETIMEDOUT: Errno = Errno(110);
    /// The object is gone.
    pub const ESTALE: Errno = Errno(116);

    /// The errno of a positive number, or `None` if the number is not one of
    /// 1 to 4095.
    #[inline]
    pub const fn from_number(number: i32) -> Option<Errno> {
        if number >= 1 && number <= MAX as i32 {
            Some(Errno(number as u16))
        } else {
            None
        }
    }

    /// The positive number, as user space sees it in `errno`.
    #[inline]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }
}
