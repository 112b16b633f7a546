// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device (`docs/spec/cachefiles-ondemand.md` sections 1 to 3).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{retry_on_intr, Errno, FdFlags};
use thiserror::Error;

use super::extension::Features;
use super::ioctl::{Ioctls, KernelIoctls};
use super::message::{decode, DecodeError, Message, Operation};
use super::object::Object;

/// An open cachefiles device. All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Device {
    fd: OwnedFd,
    ioctls: Arc<dyn Ioctls>,
}

/// A message, with the descriptor that came with it.
#[derive(Debug)]
pub struct Received<'b> {
    /// The message.
    pub message: Message<'b>,
    /// The object's descriptor; only an OPEN carries one.
    pub object: Option<Object>,
}

/// A failed [`Device::read_message`].
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The read failed. EMSGSIZE leaves the message queued. EEXIST and EMFILE mean that the kernel
    /// failed an OPEN: one that it had delivered before, or for lack of a free descriptor.
    #[error("reading a message from the device: {0}")]
    Read(#[from] Errno),
    /// The bytes are no message of this protocol.
    #[error("malformed message from the device: {0}")]
    Decode(#[from] DecodeError),
}

/// State of the device, from poll(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// A message can be read.
    pub message: bool,
    /// The cache is short of space and must be culled.
    pub cull: bool,
    /// The cache is dead. The C driver never reports this.
    pub dead: bool,
}

impl Device {
    /// Opens the device at `path`, close-on-exec.
    ///
    /// # Errors
    /// ENOENT: no driver; EPERM: without CAP_SYS_ADMIN; EBUSY: the device, or a descriptor of one of
    /// its objects, is still open elsewhere.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        retry_on_intr(|| rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))
            .map(Self::new)
    }

    /// Wraps a device that is already open, for example one that a supervisor kept open while it
    /// replaced the daemon.
    ///
    /// # Errors
    /// ENODEV: not a character device; those of fstat(2).
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Errno> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind != FileType::CharacterDevice {
            return Err(Errno::NODEV);
        }
        Ok(Self::new(fd))
    }

    fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            ioctls: Arc::new(KernelIoctls),
        }
    }

    /// A stand-in for a device: a descriptor that keeps the boundaries of messages, whose ioctls go to
    /// `ioctls`.
    #[cfg(test)]
    pub(crate) fn stand_in(fd: OwnedFd, ioctls: Arc<dyn Ioctls>) -> Self {
        Self { fd, ioctls }
    }

    /// Issues one command by one write(2). [`Command::encode`](super::Command::encode) makes its
    /// text.
    ///
    /// # Errors
    /// Those of the command (`docs/spec/cachefiles-ondemand.md` section 2); EIO also when the device
    /// accepted only a part of the text.
    pub fn command(&self, text: impl AsRef<[u8]>) -> Result<(), Errno> {
        let text = text.as_ref();
        let count = retry_on_intr(|| rustix::io::write(&self.fd, text))?;
        if count == text.len() {
            Ok(())
        } else {
            Err(Errno::IO)
        }
    }

    /// Reads the next message into `buffer` by one read(2); `None` if no message is deliverable.
    /// Does not block. [`MSG_MAX`](super::MSG_MAX) bytes hold every message.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn read_message<'b>(
        &self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Received<'b>>, ReceiveError> {
        let count = retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))?;
        if count == 0 {
            return Ok(None);
        }
        let message = decode(&buffer[..count])?;
        let object = match message.operation {
            Operation::Open { fd, .. } => Some(Object::new(adopt(fd)?, Arc::clone(&self.ioctls))),
            _ => None,
        };
        Ok(Some(Received { message, object }))
    }

    /// Extensions that the driver has; [`Features::NONE`] for a driver without extensions.
    ///
    /// # Errors
    /// None from a cachefiles device; those of ioctl(2) from other files, except for ENOTTY.
    pub fn features(&self) -> Result<Features, Errno> {
        self.ioctls.features(self.as_fd())
    }

    /// Enables these extensions and disables all others.
    ///
    /// # Errors
    /// EINVAL: the driver does not have one of them; ENOTTY: it has no extensions.
    pub fn enable(&self, features: Features) -> Result<(), Errno> {
        self.ioctls.enable(self.as_fd(), features)
    }

    /// Waits until the device is ready, or without `timeout` forever.
    ///
    /// # Errors
    /// EINTR: interrupted by a signal; others of poll(2).
    pub fn poll(&self, timeout: Option<Duration>) -> Result<Readiness, Errno> {
        let timeout = timeout
            .map(Timespec::try_from)
            .transpose()
            .map_err(|_| Errno::INVAL)?;
        let mut polled = [PollFd::new(self, PollFlags::IN | PollFlags::OUT)];
        rustix::event::poll(&mut polled, timeout.as_ref())?;
        Ok(polled[0].revents().into())
    }
}

/// Takes ownership of the descriptor of an OPEN and makes it close-on-exec, which the kernel does not.
#[allow(unsafe_code)]
fn adopt(fd: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: for each OPEN that it delivers, a cachefiles device installs a new descriptor in the table
    // of the reading process. Its number is in that message alone, so it has no other owner.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

impl From<PollFlags> for Readiness {
    fn from(flags: PollFlags) -> Self {
        Self {
            message: flags.contains(PollFlags::IN),
            cull: flags.contains(PollFlags::OUT),
            dead: flags.intersects(PollFlags::HUP | PollFlags::ERR),
        }
    }
}

impl From<ReceiveError> for io::Error {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Read(errno) => errno.into(),
            ReceiveError::Decode(error) => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_extensions_has_none() {
        let device = Device::open(Path::new("/dev/null")).unwrap();
        assert_eq!(device.features(), Ok(Features::NONE));
        assert_eq!(device.enable(Features::READ_ERRORS), Err(Errno::NOTTY));
    }
}
