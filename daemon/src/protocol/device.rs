// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device (sections 1 to 3).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{retry_on_intr, Errno, FdFlags};
use thiserror::Error;

use super::message::{decode, DecodeError, Message, Operation};
use super::object::Object;

/// An open cachefiles device. All of its calls can be made from several threads.
#[derive(Debug)]
pub struct Device(OwnedFd);

/// A message, and what came with it.
#[derive(Debug)]
pub struct Received<'b> {
    /// What the kernel asks.
    pub message: Message<'b>,
    /// The descriptor of an OPEN.
    pub object: Option<Object>,
}

/// Why there is no message.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The read failed: EMSGSIZE leaves the message queued, EEXIST says that the kernel failed an
    /// OPEN that it had given before, EMFILE that it failed an OPEN for want of a descriptor.
    #[error("reading a message from the device: {0}")]
    Read(#[from] Errno),
    /// The kernel wrote what this protocol does not have.
    #[error("the device gave what is not a message: {0}")]
    Decode(#[from] DecodeError),
}

/// What poll(2) says of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There is a message to read.
    pub message: bool,
    /// The cache is short of space and wants to be culled.
    pub cull: bool,
    /// The cache is dead; the C driver never says so.
    pub dead: bool,
}

impl Device {
    /// Opens the device at `path`, close-on-exec.
    ///
    /// # Errors
    /// ENOENT: no driver; EPERM: without CAP_SYS_ADMIN; EBUSY: somebody has it open, or has a
    /// descriptor of one of its objects.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        retry_on_intr(|| rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))
            .map(Self)
    }

    /// Takes over a device that somebody else opened, say a supervisor that kept it while a daemon
    /// was replaced.
    ///
    /// # Errors
    /// ENODEV when it is not a character device; those of fstat(2).
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Errno> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind != FileType::CharacterDevice {
            return Err(Errno::NODEV);
        }
        Ok(Self(fd))
    }

    /// Gives one command, by one write(2). [`Command::encode`](super::Command::encode) makes them.
    ///
    /// # Errors
    /// Those of section 2; EIO also when the device took only a part.
    pub fn command(&self, text: impl AsRef<[u8]>) -> Result<(), Errno> {
        let text = text.as_ref();
        let count = retry_on_intr(|| rustix::io::write(&self.0, text))?;
        if count == text.len() {
            Ok(())
        } else {
            Err(Errno::IO)
        }
    }

    /// The next message, by one read(2) into `buffer`, or nothing when none is deliverable. Never
    /// waits. [`MSG_MAX`](super::MSG_MAX) bytes hold every message.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn read_message<'b>(
        &self,
        buffer: &'b mut [u8],
    ) -> Result<Option<Received<'b>>, ReceiveError> {
        let count = retry_on_intr(|| rustix::io::read(&self.0, &mut *buffer))?;
        if count == 0 {
            return Ok(None);
        }
        let message = decode(&buffer[..count])?;
        let object = match message.operation {
            Operation::Open { fd, .. } => Some(adopt(fd)?),
            _ => None,
        };
        Ok(Some(Received { message, object }))
    }

    /// Waits until the device has something to say; without a timeout for ever.
    ///
    /// # Errors
    /// EINTR when a signal came first; others of poll(2).
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

/// Takes the descriptor that came with an OPEN. The kernel leaves it open across exec; we do not.
#[allow(unsafe_code)]
fn adopt(fd: i32) -> Result<Object, Errno> {
    // SAFETY: a cachefiles device makes a new descriptor in our table for each OPEN that it
    // delivers, and says its number in that message alone: nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd.into())
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
        self.0.as_fd()
    }
}
