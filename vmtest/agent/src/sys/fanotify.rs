// SPDX-License-Identifier: Apache-2.0 OR MIT

//! fanotify permission events: a task that is about to open, read or change a marked file waits until
//! it is allowed to.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// FAN_PRE_ACCESS, missing in libc: events before bytes of a file are read or changed.
pub(crate) const PRE_ACCESS: u64 = 0x0010_0000;
/// Events before a file is opened.
pub(crate) const OPEN_PERM: u64 = libc::FAN_OPEN_PERM;
/// Size of struct fanotify_event_metadata in bytes.
const METADATA: usize = 24;
/// FAN_EVENT_INFO_TYPE_RANGE: a record of header, pad, offset and count.
const INFO_RANGE: u8 = 6;

/// A fanotify group of class FAN_CLASS_PRE_CONTENT.
#[derive(Debug)]
pub(crate) struct PreContent(File);

/// An access that waits for an answer.
#[derive(Debug)]
pub(crate) struct Access {
    /// Descriptor of the file, opened by the kernel for this event.
    file: OwnedFd,
    /// Range to be accessed, in bytes. Empty: unknown, or an open.
    pub(crate) range: Range<u64>,
}

impl PreContent {
    /// Creates a group without marks.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN, EINVAL on a kernel without pre-content events.
    pub(crate) fn new() -> io::Result<Self> {
        let class = libc::FAN_CLASS_PRE_CONTENT | libc::FAN_CLOEXEC;
        let flags = (libc::O_RDONLY | libc::O_LARGEFILE | libc::O_CLOEXEC) as u32;
        // SAFETY: `fanotify_init` takes numbers only.
        let fd = unsafe { libc::fanotify_init(class, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call returned a new descriptor that has no other owner.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Marks `file`: accesses of this kind, [`PRE_ACCESS`] or [`OPEN_PERM`], wait for an answer from now
    /// on.
    ///
    /// # Errors
    /// fanotify_mark(2) fails.
    pub(crate) fn mark(&self, file: &File, events: u64) -> io::Result<()> {
        // SAFETY: both descriptors are open, and a null path names the file of the second one.
        let marked = unsafe {
            libc::fanotify_mark(
                self.0.as_raw_fd(),
                libc::FAN_MARK_ADD,
                events,
                file.as_raw_fd(),
                std::ptr::null(),
            )
        };
        if marked < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits for events and returns the waiting accesses.
    ///
    /// # Errors
    /// read(2) fails, or an event has an unknown form.
    pub(crate) fn wait(&self) -> io::Result<Vec<Access>> {
        let mut buffer = [0; 4096];
        let len = (&self.0).read(&mut buffer)?;
        let mut rest = &buffer[..len];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let (len, fd) =
                event(rest).ok_or_else(|| io::Error::other("invalid fanotify event"))?;
            // SAFETY: the kernel opened this descriptor for this event, so it has no other owner;
            // each event is parsed once.
            let file = unsafe { OwnedFd::from_raw_fd(fd) };
            let range = range(&rest[METADATA..len]);
            found.push(Access { file, range });
            rest = &rest[len..];
        }
        Ok(found)
    }

    /// Allows an access to continue.
    ///
    /// # Errors
    /// write(2) fails.
    pub(crate) fn allow(&self, access: &Access) -> io::Result<()> {
        self.answer(access, libc::FAN_ALLOW)
    }

    /// Makes an access fail with EPERM.
    ///
    /// # Errors
    /// write(2) fails.
    pub(crate) fn deny(&self, access: &Access) -> io::Result<()> {
        self.answer(access, libc::FAN_DENY)
    }

    fn answer(&self, access: &Access, response: u32) -> io::Result<()> {
        let mut answer = [0; 8];
        answer[..4].copy_from_slice(&access.file.as_raw_fd().to_ne_bytes());
        answer[4..].copy_from_slice(&response.to_ne_bytes());
        (&self.0).write_all(&answer)
    }
}

/// Length and descriptor of the first event in `bytes` (struct fanotify_event_metadata, version 3).
fn event(bytes: &[u8]) -> Option<(usize, i32)> {
    if bytes.len() < METADATA || bytes[4] != 3 {
        return None;
    }
    let len = word(bytes, 0) as usize;
    let fd = word(bytes, 16) as i32;
    ((METADATA..=bytes.len()).contains(&len) && fd >= 0).then_some((len, fd))
}

/// Range in the first record of `info`, empty if that is of another type.
fn range(info: &[u8]) -> Range<u64> {
    if info.len() < 24 || info[0] != INFO_RANGE {
        return 0..0;
    }
    let long = |at| u64::from(word(info, at)) | u64::from(word(info, at + 4)) << 32;
    long(8)..long(8).saturating_add(long(16))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart_and_others_are_not() {
        let mut bytes = [0; 48];
        bytes[0] = 48;
        bytes[4] = 3;
        bytes[16] = 9;
        assert_eq!(event(&bytes), Some((48, 9)));
        assert_eq!(event(&bytes[..47]), None);
        bytes[4] = 4;
        assert_eq!(event(&bytes), None);
        bytes[4] = 3;
        bytes[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(event(&bytes), None);
        assert_eq!(event(&[]), None);
    }

    #[test]
    fn the_range_is_that_of_a_record_of_its_kind() {
        let mut info = [0; 24];
        (info[0], info[9], info[16]) = (INFO_RANGE, 1, 5);
        assert_eq!(range(&info), 256..261);
        info[0] = 1;
        assert_eq!(range(&info), 0..0);
        assert_eq!(range(&info[..23]), 0..0);
    }
}
