// SPDX-License-Identifier: Apache-2.0 OR MIT

//! System calls without a safe wrapper in a crate: the only unsafe code of the harness.

#![allow(unsafe_code)]

pub(crate) mod fanotify;
mod mmap;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::ioctl::Opcode;

pub(crate) use mmap::{touch, touch_all, touch_page, Map};

fn ioctl(file: &File, request: u64, argument: &mut [u8]) -> io::Result<i32> {
    // SAFETY: `argument` is exclusively borrowed and at least as long as what each caller's
    // request reads or writes; the descriptor is open for as long as `file` is borrowed.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Enables the loopback network interface.
///
/// # Errors
/// SIOCSIFFLAGS fails.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = File::from(OwnedFd::from(UdpSocket::bind("0.0.0.0:0")?));
    // struct ifreq: a name of 16 bytes, then the flags, of which IFF_UP is 1.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1;
    ioctl(&socket, 0x8914, &mut request).map(drop)
}

/// Issues an ioctl whose argument is a plain number.
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn ioctl_by_value(
    fd: BorrowedFd<'_>,
    request: u64,
    argument: usize,
) -> Result<i32, rustix::io::Errno> {
    // SAFETY: the descriptor is borrowed. The argument is a message id or another small number of a
    // scenario. A driver that uses it as an address gets EFAULT: this process maps nothing there.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// Issues an ioctl that returns a u64 through its argument.
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn ioctl_gets<const OPCODE: Opcode>(
    fd: BorrowedFd<'_>,
) -> Result<u64, rustix::io::Errno> {
    // SAFETY: the opcode contains the size, so a driver that knows it writes 8 bytes, the size of
    // u64.
    unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Getter::<OPCODE, u64>::new()) }
}

/// Issues an ioctl that reads `value`.
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn ioctl_sets<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    value: T,
) -> Result<(), rustix::io::Errno> {
    const { assert!((OPCODE >> 16) & 0x3fff == size_of::<T>() as Opcode) }
    // SAFETY: the opcode contains the size, so a driver that knows it reads size_of::<T>() bytes,
    // as asserted above.
    unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Setter::<OPCODE, T>::new(value)) }
}

/// Calls read(2) with an unmapped buffer of `room` bytes.
///
/// # Errors
/// Errors of read(2); EFAULT is expected.
pub(crate) fn read_nowhere(fd: BorrowedFd<'_>, room: usize) -> Result<usize, rustix::io::Errno> {
    // SAFETY: the kernel checks the address; nothing is mapped at 0.
    let count = unsafe { libc::read(fd.as_raw_fd(), std::ptr::null_mut(), room) };
    usize::try_from(count).map_err(|_| last_errno())
}

fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

/// Closes the descriptor `number` and returns true if it was open. It must have no owner in this
/// process.
pub(crate) fn close_number(number: RawFd) -> bool {
    // SAFETY: by the contract above no owner uses or closes this number later.
    unsafe { libc::close(number) == 0 }
}

/// Takes ownership of a descriptor that the kernel installed in this process and reported in a
/// message.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: a cachefiles device installs a new descriptor for each OPEN that it delivers, and
    // reports its number in that message alone, so it has no other owner.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Calls fcntl(2) with a number as its argument.
///
/// # Errors
/// Errors of fcntl(2).
pub(crate) fn fcntl(file: &File, command: i32, argument: i32) -> io::Result<i32> {
    // SAFETY: the descriptor is borrowed, and no address is passed.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

extern "C" fn nothing(_: libc::c_int) {}

/// Installs a handler for SIGUSR1 that does nothing, without SA_RESTART: the signal interrupts
/// system calls with EINTR.
///
/// # Errors
/// sigaction(2) fails.
pub(crate) fn catch_user_signal() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, which is async-signal-safe; the old action is not
    // requested.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns the number of a free loop device (LOOP_CTL_GET_FREE).
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn loop_get_free(control: &File) -> io::Result<i32> {
    ioctl(control, 0x4c82, &mut [])
}

/// Attaches `backing` to the loop device `device`, read-only and with autoclear (LOOP_CONFIGURE).
///
/// # Errors
/// Errors of ioctl(2); EBUSY if another process took the device.
pub(crate) fn loop_configure(device: &File, backing: &File) -> io::Result<()> {
    const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
    // struct loop_config: fd, block size, struct loop_info64 (lo_flags at byte 52), reserved.
    let mut config = [0u8; 304];
    config[..4].copy_from_slice(&backing.as_raw_fd().to_le_bytes());
    config[8 + 52..8 + 56].copy_from_slice(&READ_ONLY_AUTOCLEAR.to_le_bytes());
    ioctl(device, 0x4c0a, &mut config).map(drop)
}

/// Returns the file system's label, without padding (FS_IOC_GETFSLABEL).
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn label(file: &File) -> io::Result<Vec<u8>> {
    let mut label = [0u8; 256];
    ioctl(file, 0x8100_9431, &mut label)?;
    let end = label.iter().position(|b| *b == 0).unwrap_or(label.len());
    Ok(label[..end].to_vec())
}

/// Returns the file system's UUID (FS_IOC_GETFSUUID).
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn uuid(file: &File) -> io::Result<Vec<u8>> {
    let mut answer = [0u8; 17];
    ioctl(file, 0x8011_1500, &mut answer)?;
    let len = usize::from(answer[0]).min(16);
    Ok(answer[1..1 + len].to_vec())
}

/// Returns the block on the device that holds block `block` of the file; 0 for a hole (FIBMAP).
///
/// # Errors
/// Errors of ioctl(2); EINVAL if the file system tells no blocks.
pub(crate) fn fibmap(file: &File, block: i32) -> io::Result<u64> {
    let mut number = block.to_ne_bytes();
    ioctl(file, 1, &mut number)?;
    Ok(u32::from_ne_bytes(number).into())
}

/// An extent reported by FIEMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Offset in the file, in bytes.
    pub(crate) logical: u64,
    /// Offset on the device, in bytes.
    pub(crate) physical: u64,
    /// Length in bytes.
    pub(crate) length: u64,
    /// Flags FIEMAP_EXTENT_*.
    pub(crate) flags: u32,
}

/// Returns the extents of `length` bytes from offset `start`, at most 256 of them (FS_IOC_FIEMAP).
///
/// # Errors
/// Errors of ioctl(2).
pub(crate) fn fiemap(file: &File, start: u64, length: u64) -> io::Result<Vec<Extent>> {
    const ROOM: usize = 256;
    let mut call = vec![0u8; 32 + ROOM * 56];
    call[..8].copy_from_slice(&start.to_le_bytes());
    call[8..16].copy_from_slice(&length.to_le_bytes());
    call[24..28].copy_from_slice(&(ROOM as u32).to_le_bytes());
    ioctl(file, 0xc020_660b, &mut call)?;
    let word = |at: usize| call[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    let long = |at: usize| call[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
    let mapped = (word(20) as usize).min(ROOM);
    let extent = |n: usize| Extent {
        logical: long(32 + n * 56),
        physical: long(40 + n * 56),
        length: long(48 + n * 56),
        flags: word(72 + n * 56),
    };
    Ok((0..mapped).map(extent).collect())
}

/// Returns the number of pages in the page cache among `length` bytes from offset `start`
/// (cachestat(2)).
///
/// # Errors
/// Errors of cachestat(2); ENOSYS before Linux 6.5.
pub(crate) fn cached_pages(file: &File, start: u64, length: u64) -> io::Result<u64> {
    /// The number is the same on every architecture; libc defines it for some.
    const CACHESTAT: libc::c_long = 451;
    let range = [start, length];
    // nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted
    let mut counts = [0u64; 5];
    // SAFETY: the kernel reads `range`, laid out as struct cachestat_range, and writes `counts`,
    // laid out as struct cachestat. Both outlive the call.
    let done = unsafe {
        libc::syscall(
            CACHESTAT,
            file.as_raw_fd(),
            range.as_ptr(),
            counts.as_mut_ptr(),
            0,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(counts[0])
}

/// A file handle as used for NFS exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle(Vec<u8>);

impl Handle {
    /// Returns the handle of an open file (name_to_handle_at(2)).
    ///
    /// # Errors
    /// Errors of name_to_handle_at(2).
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        const ROOM: u32 = 128;
        let mut handle = vec![0u8; 8 + ROOM as usize];
        handle[..4].copy_from_slice(&ROOM.to_ne_bytes());
        let mut mount = 0i32;
        // SAFETY: the buffer is a struct file_handle header with `handle_bytes` bytes of room
        // behind it; the path is an empty C string; both outputs outlive the call. The vector's
        // allocation is aligned for more than the header's u32 fields.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                file.as_raw_fd(),
                c"".as_ptr(),
                handle.as_mut_ptr(),
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(handle))
    }

    /// Opens the file of this handle on the mount of `anchor` (open_by_handle_at(2)).
    ///
    /// # Errors
    /// Errors of open_by_handle_at(2).
    pub(crate) fn open(&self, anchor: &File) -> io::Result<File> {
        let mut handle = self.0.clone();
        // SAFETY: the buffer has the header and length that name_to_handle_at wrote, and outlives
        // the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                anchor.as_raw_fd(),
                handle.as_mut_ptr(),
                libc::O_RDONLY,
            )
        };
        let fd = RawFd::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call returned a new descriptor that has no other owner.
        Ok(unsafe { File::from_raw_fd(fd) })
    }

    /// Inverts bits of the inode identity, so that the handle names no file.
    pub(crate) fn spoil(&mut self) {
        for byte in &mut self.0[8..16] {
            *byte ^= 0x5a;
        }
    }
}

/// Returns the size of the attribute `name`, or of the list of names (`None`), by a call with an
/// empty buffer, which the safe crate does not offer.
///
/// # Errors
/// Errors of lgetxattr(2) or llistxattr(2).
pub(crate) fn xattr_size(path: &Path, name: Option<&str>) -> io::Result<usize> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = name.map(CString::new).transpose()?;
    // SAFETY: both strings end with NUL and outlive the calls; with a size of 0 nothing is written.
    let size = unsafe {
        match &name {
            Some(name) => libc::lgetxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0),
            None => libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0),
        }
    };
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}

/// Changes the user and group of the calling thread alone, and drops its supplementary groups.
///
/// # Errors
/// Errors of setgroups(2), setresgid(2) or setresuid(2).
pub(crate) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let gone = |result: i64| {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: the calls take numbers and a null pointer with length 0. Raw system calls change only
    // the calling thread; libc's wrappers would change all threads.
    unsafe {
        gone(libc::syscall(
            libc::SYS_setgroups,
            0,
            std::ptr::null::<u32>(),
        ))?;
        gone(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        gone(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
    }
}
