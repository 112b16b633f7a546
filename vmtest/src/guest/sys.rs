// SPDX-License-Identifier: Apache-2.0 OR MIT

//! System calls that no safe crate offers: the only unsafe code of the harness.

#![allow(unsafe_code)]

pub(crate) mod fanotify;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::ioctl::Opcode;

fn ioctl(file: &File, request: u64, argument: &mut [u8]) -> io::Result<i32> {
    // SAFETY: `argument` is exclusively borrowed and at least as long as what each caller's
    // request reads or writes; the descriptor is open for as long as `file` is borrowed.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request as _, argument.as_mut_ptr()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Brings the loopback network up.
///
/// # Errors
/// Those of SIOCSIFFLAGS.
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = File::from(OwnedFd::from(UdpSocket::bind("0.0.0.0:0")?));
    // struct ifreq: a name of 16 bytes, then the flags, of which IFF_UP is 1.
    let mut request = [0u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1;
    ioctl(&socket, 0x8914, &mut request).map(drop)
}

/// An ioctl whose argument is a plain number.
///
/// # Errors
/// Those of the call.
pub(super) fn ioctl_by_value(
    fd: BorrowedFd<'_>,
    request: u64,
    argument: usize,
) -> Result<i32, rustix::io::Errno> {
    // SAFETY: the descriptor is borrowed. The argument is a message id or another small number of a
    // scenario: should a driver take it for an address, nothing of ours is there, and EFAULT it is.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, argument) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// An ioctl that gives a number.
///
/// # Errors
/// Those of the call.
pub(super) fn ioctl_gets<const OPCODE: Opcode>(
    fd: BorrowedFd<'_>,
) -> Result<u64, rustix::io::Errno> {
    // SAFETY: by the opcode, which holds the size, a driver that knows it writes 8 bytes, for which there is room.
    unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Getter::<OPCODE, u64>::new()) }
}

/// An ioctl that takes a value.
///
/// # Errors
/// Those of the call.
pub(super) fn ioctl_sets<const OPCODE: Opcode, T>(
    fd: BorrowedFd<'_>,
    value: T,
) -> Result<(), rustix::io::Errno> {
    const { assert!((OPCODE >> 16) & 0x3fff == size_of::<T>() as Opcode) }
    // SAFETY: by the opcode, which holds the size, a driver that knows it reads as many bytes as there are.
    unsafe { rustix::ioctl::ioctl(fd, rustix::ioctl::Setter::<OPCODE, T>::new(value)) }
}

/// read(2) into an address that is not there.
///
/// # Errors
/// Those of the call; EFAULT is what one expects.
pub(super) fn read_nowhere(fd: BorrowedFd<'_>, room: usize) -> Result<usize, rustix::io::Errno> {
    // SAFETY: the kernel checks the address; nothing is mapped at 0.
    let count = unsafe { libc::read(fd.as_raw_fd(), std::ptr::null_mut(), room) };
    usize::try_from(count).map_err(|_| last_errno())
}

fn last_errno() -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(rustix::io::Errno::IO)
}

/// close(2) of a number; whether there was a descriptor. It must be one that nobody in this process owns.
pub(super) fn close_number(number: RawFd) -> bool {
    // SAFETY: the caller promises that no owner is left with a number that is not his any more.
    unsafe { libc::close(number) == 0 }
}

/// Takes over a descriptor that the kernel has put into this process' table and told in a message.
pub(super) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: a cachefiles device makes a new descriptor for each OPEN that it delivers, and says
    // its number in that message alone: nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

extern "C" fn nothing(_: libc::c_int) {}

/// Handles SIGUSR1 by doing nothing, system calls not begun again.
///
/// # Errors
/// Those of sigaction(2).
pub(super) fn catch_user_signal() -> io::Result<()> {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: the handler does nothing, which is safe at any point; no old action is asked for.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// LOOP_CTL_GET_FREE: the number of a loop device that is not in use.
///
/// # Errors
/// Those of the call.
pub(super) fn loop_get_free(control: &File) -> io::Result<i32> {
    ioctl(control, 0x4c82, &mut [])
}

/// LOOP_CONFIGURE: puts `backing` behind `device`, read-only, gone with its last user.
///
/// # Errors
/// Those of the call; EBUSY when somebody else took the device.
pub(super) fn loop_configure(device: &File, backing: &File) -> io::Result<()> {
    const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;
    // struct loop_config: fd, block size, struct loop_info64 (lo_flags at byte 52), reserved.
    let mut config = [0u8; 304];
    config[..4].copy_from_slice(&backing.as_raw_fd().to_le_bytes());
    config[8 + 52..8 + 56].copy_from_slice(&READ_ONLY_AUTOCLEAR.to_le_bytes());
    ioctl(device, 0x4c0a, &mut config).map(drop)
}

/// FS_IOC_GETFSLABEL, without the padding.
///
/// # Errors
/// Those of the call.
pub(super) fn label(file: &File) -> io::Result<Vec<u8>> {
    let mut label = [0u8; 256];
    ioctl(file, 0x8100_9431, &mut label)?;
    let end = label.iter().position(|b| *b == 0).unwrap_or(label.len());
    Ok(label[..end].to_vec())
}

/// FS_IOC_GETFSUUID.
///
/// # Errors
/// Those of the call.
pub(super) fn uuid(file: &File) -> io::Result<Vec<u8>> {
    let mut answer = [0u8; 17];
    ioctl(file, 0x8011_1500, &mut answer)?;
    let len = usize::from(answer[0]).min(16);
    Ok(answer[1..1 + len].to_vec())
}

/// One extent that FIEMAP tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// First byte in the file.
    pub(super) logical: u64,
    /// First byte on the device.
    pub(crate) physical: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// FIEMAP_EXTENT_*.
    pub(super) flags: u32,
}

/// FS_IOC_FIEMAP over `length` bytes from `start`.
///
/// # Errors
/// Those of the call.
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

/// cachestat(2): how many pages of `length` bytes from `start` the page cache of `file` has.
///
/// # Errors
/// Those of the call: ENOSYS before Linux 6.5.
pub(super) fn cached_pages(file: &File, start: u64, length: u64) -> io::Result<u64> {
    /// One number on every architecture; the crate has it for some.
    const CACHESTAT: libc::c_long = 451;
    let range = [start, length];
    // nr_cache, nr_dirty, nr_writeback, nr_evicted, nr_recently_evicted
    let mut counts = [0u64; 5];
    // SAFETY: the kernel reads the range, and writes the counts, which are what it calls `struct
    // cachestat_range` and `struct cachestat`.
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

/// A file handle as NFS exports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle(Vec<u8>);

impl Handle {
    /// name_to_handle_at(2) of an open file.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn of(file: &File) -> io::Result<Self> {
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

    /// open_by_handle_at(2) on the mount that `anchor` lies on.
    ///
    /// # Errors
    /// Those of the call.
    pub(super) fn open(&self, anchor: &File) -> io::Result<File> {
        let mut handle = self.0.clone();
        // SAFETY: the buffer came from name_to_handle_at, header and all, and outlives the call.
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
        // SAFETY: the call returned a new descriptor that nobody else owns.
        Ok(unsafe { File::from_raw_fd(fd) })
    }

    /// A byte of the identity inside, to make a handle of no file.
    pub(super) fn spoil(&mut self) {
        for byte in &mut self.0[8..16] {
            *byte ^= 0x5a;
        }
    }
}

/// A private mapping of a file.
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// Maps `len` bytes of `file` from its beginning, readable and privately writable.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(super) fn private(file: &File, len: usize) -> io::Result<Self> {
        Self::new(
            file,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE,
        )
    }

    /// Maps `len` bytes shared and readable, as programs are.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub(crate) fn shared(file: &File, len: usize) -> io::Result<Self> {
        Self::new(
            file,
            len,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_SHARED,
        )
    }

    /// Whether a shared writable mapping is refused, and how.
    ///
    /// # Errors
    /// Those of mmap(2): the wanted outcome on a read-only file system.
    pub(super) fn shared_writable(file: &File, len: usize) -> io::Result<Self> {
        Self::new(
            file,
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
        )
    }

    fn new(file: &File, len: usize, protection: i32, flags: i32) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                flags,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            len,
        })
    }

    /// A copy of the mapped bytes, made by write(2) into `to`: a page that cannot be read is EFAULT
    /// there, and not the death of this process.
    ///
    /// # Errors
    /// EFAULT; those of write(2).
    pub(crate) fn copy_through(&self, to: &File, at: usize, len: usize) -> io::Result<usize> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: the range lies in the mapping, which lives as long as self; the kernel checks
        // each page as it reads it.
        let done = unsafe { libc::write(to.as_raw_fd(), self.start.add(at).cast(), len) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }

    /// Writes one byte into the (private) mapping.
    pub(super) fn poke(&self, at: usize, value: u8) {
        assert!(at < self.len, "outside the mapping");
        // SAFETY: inside the mapping, and callers poke private writable mappings of whole files.
        unsafe { self.start.add(at).write_volatile(value) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the range that mmap gave, which no reference outlives.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// The size that an attribute has (`name`), or the list of all names (`None`), asked for with a
/// buffer of no bytes: the safe crate does not tell it.
///
/// # Errors
/// Those of lgetxattr(2) and llistxattr(2).
pub(super) fn xattr_size(path: &Path, name: Option<&str>) -> io::Result<usize> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = name.map(CString::new).transpose()?;
    // SAFETY: both strings end in NUL and outlive the calls; a size of 0 lets nothing be written.
    let size = unsafe {
        match &name {
            Some(name) => libc::lgetxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0),
            None => libc::llistxattr(path.as_ptr(), std::ptr::null_mut(), 0),
        }
    };
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}

/// Makes the calling thread, and it alone, an ordinary user.
///
/// # Errors
/// Those of the calls.
pub(super) fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    let gone = |result: i64| {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    };
    // SAFETY: raw calls with plain numbers; without the C library's wrapper they are per thread.
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
