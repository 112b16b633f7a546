// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Operations on the descriptor of a cache object.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use ondined::protocol::READ_COMPLETE;
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::ioctl::{opcode, Opcode};
use vmtest_wire::conform::op::{Bytes, Misuse, Whence, DEVICE};
use vmtest_wire::conform::step::OK;

use super::device::named;
use super::{Failure, Outcome, Worker};
use crate::sys;

/// ioctls of the protocol extensions (`kmod/src/device/extension.rs`).
const FEATURES: Opcode = opcode::read::<u64>(0x98, 0x60);
const ENABLE: Opcode = opcode::write::<u64>(0x98, 0x61);
const READ_FAIL: Opcode = opcode::write::<[u32; 2]>(0x98, 0x62);

/// Alignment for direct I/O in bytes, at least that of any disk.
const ALIGNMENT: usize = 4096;

/// Buffer that is aligned for direct I/O, or deliberately misaligned by a byte.
struct Buffer {
    room: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize, shifted: bool) -> Self {
        let room = vec![0; length + 2 * ALIGNMENT];
        let start = room.as_ptr().align_offset(ALIGNMENT) + usize::from(shifted);
        Self {
            room,
            start,
            length,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[self.start..self.start + self.length]
    }
}

impl Worker {
    /// Reads the blob of `object` from `offset`; bytes after its end are zeros.
    fn fill(&self, object: &str, offset: u64, into: &mut [u8]) -> Outcome<()> {
        let blob = File::open(self.blob(object))?;
        let mut done = 0;
        while done < into.len() {
            match blob.read_at(&mut into[done..], offset + done as u64)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(())
    }

    pub(super) fn pwrite(&self, object: &str, offset: u64, length: u64, what: Bytes) -> Outcome {
        let length = usize::try_from(length).context("the length")?;
        let mut buffer = Buffer::new(length, what == Bytes::Shifted);
        if what != Bytes::Zeros {
            self.fill(object, offset, buffer.bytes())?;
        }
        let count = rustix::io::pwrite(self.fd(object)?, buffer.bytes(), offset)?;
        Ok(count.to_string())
    }

    pub(super) fn put(&self, object: &str, length: u64) -> Outcome {
        let mut buffer = Buffer::new(usize::try_from(length).context("the length")?, false);
        self.fill(object, 0, buffer.bytes())?;
        let count = rustix::io::write(self.fd(object)?, buffer.bytes())?;
        Ok(count.to_string())
    }

    pub(super) fn seek(&self, handle: &str, whence: Whence, offset: u64) -> Outcome {
        let signed = i64::try_from(offset).context("the offset")?;
        let to = match whence {
            Whence::Set => SeekFrom::Start(offset),
            Whence::Current => SeekFrom::Current(signed),
            Whence::End => SeekFrom::End(signed),
            Whence::Data => SeekFrom::Data(offset),
            Whence::Hole => SeekFrom::Hole(offset),
        };
        Ok(rustix::fs::seek(self.fd(handle)?, to)?.to_string())
    }

    pub(super) fn complete(&self, object: &str, id: Option<String>) -> Outcome {
        let id = match id {
            None => self.message(&format!("{object}.read"))?,
            Some(name) => match name.parse() {
                Ok(number) => number,
                Err(_) => self.message(&name)?,
            },
        };
        self.ioctl(object, u64::from(READ_COMPLETE), u64::from(id))
    }

    pub(super) fn features(&self) -> Outcome {
        let offered = sys::ioctl_gets::<FEATURES>(self.fd(DEVICE)?)?;
        Ok(offered.to_string())
    }

    pub(super) fn enable(&self, bits: u64) -> Outcome {
        sys::ioctl_sets::<ENABLE, u64>(self.fd(DEVICE)?, bits)?;
        Ok(OK.to_owned())
    }

    pub(super) fn fail(&self, object: &str, errno: u32) -> Outcome {
        let id = self.message(&format!("{object}.read"))?;
        sys::ioctl_sets::<READ_FAIL, [u32; 2]>(self.fd(object)?, [id, errno])?;
        Ok(OK.to_owned())
    }

    pub(super) fn ioctl(&self, handle: &str, command: u64, argument: u64) -> Outcome {
        let argument = usize::try_from(argument).context("the argument")?;
        let result = sys::ioctl_by_value(self.fd(handle)?, command, argument)?;
        Ok(match result {
            0 => OK.to_owned(),
            other => other.to_string(),
        })
    }

    pub(super) fn misuse(&self, object: &str, what: Misuse) -> Outcome {
        let fd = self.fd(object)?;
        match what {
            Misuse::Read => {
                let count = rustix::io::read(fd, &mut [0; 16][..])?;
                return Ok(count.to_string());
            }
            Misuse::Map => {
                let file = File::from(rustix::io::dup(fd)?);
                sys::Map::private(&file, ALIGNMENT)?;
            }
            Misuse::Sync => rustix::fs::fsync(fd)?,
            Misuse::Poll => {
                let events = PollFlags::IN | PollFlags::OUT;
                let mut polled = [PollFd::from_borrowed_fd(fd, events)];
                poll(&mut polled, Some(&Timespec::default()))?;
                let seen = polled[0].revents();
                return Ok(named(&[
                    (seen.contains(PollFlags::IN), "IN"),
                    (seen.contains(PollFlags::OUT), "OUT"),
                    (seen.contains(PollFlags::HUP), "HUP"),
                ]));
            }
        }
        Ok(OK.to_owned())
    }

    pub(super) fn hangup(&self, object: &str) -> Outcome {
        // poll(2) reports a hang-up whatever it is asked for.
        let mut polled = [PollFd::from_borrowed_fd(
            self.fd(object)?,
            PollFlags::empty(),
        )];
        poll(&mut polled, None)?;
        Ok(OK.to_owned())
    }

    pub(super) fn descriptor(&self, object: &str) -> Outcome {
        let handle = self.handle(object)?;
        let link = format!("/proc/self/fd/{}", handle.fd.as_raw_fd());
        let name = std::fs::read_link(link)?;
        let access = match rustix::fs::fcntl_getfl(&handle.fd)? & OFlags::RWMODE {
            OFlags::RDONLY => "read-only",
            OFlags::WRONLY => "write-only",
            OFlags::RDWR => "read-write",
            _ => return Err(Failure::from(Errno::INVAL)),
        };
        let inherited = if handle.inheritable {
            "inheritable"
        } else {
            "close-on-exec"
        };
        Ok(format!("{} {access} {inherited}", name.display()))
    }
}
