// SPDX-License-Identifier: Apache-2.0 OR MIT

//! fanotify(7) permission events before a file's contents are read, which no safe crate offers.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// FAN_PRE_ACCESS: a read is about to take place (Linux 6.14).
const PRE_ACCESS: u64 = 0x0010_0000;

/// A group that is asked before reads.
#[derive(Debug)]
pub struct Group(File);

impl Group {
    /// A group of class FAN_CLASS_PRE_CONTENT.
    ///
    /// # Errors
    /// Those of fanotify_init(2).
    pub fn pre_content() -> io::Result<Self> {
        let flags = libc::FAN_CLASS_PRE_CONTENT | libc::FAN_CLOEXEC;
        // SAFETY: a call with plain numbers.
        let fd = unsafe { libc::fanotify_init(flags, libc::O_RDONLY as u32) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call returned a new descriptor that nobody else owns.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Has every read of `file` asked for, by whoever opens it from now on.
    ///
    /// # Errors
    /// Those of fanotify_mark(2).
    pub fn mark(&self, file: &Path) -> io::Result<()> {
        let path = CString::new(file.as_os_str().as_bytes())?;
        // SAFETY: the path ends in NUL and outlives the call.
        let result = unsafe {
            libc::fanotify_mark(
                self.0.as_raw_fd(),
                libc::FAN_MARK_ADD,
                PRE_ACCESS,
                libc::AT_FDCWD,
                path.as_ptr(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits for events and allows them all; how many there were.
    ///
    /// # Errors
    /// Those of read(2) and write(2), and an event that is not of the known form.
    pub fn allow_next(&self) -> io::Result<u64> {
        let mut buffer = [0; 4096];
        let len = (&self.0).read(&mut buffer)?;
        let mut events = &buffer[..len];
        let mut count = 0;
        while let Some((event_len, fd)) = event(events) {
            // SAFETY: the kernel opened this descriptor for the reader of the event, which this
            // function is, and each event is looked at once.
            let about = unsafe { OwnedFd::from_raw_fd(fd) };
            // struct fanotify_response: the event's descriptor, the answer.
            let mut response = [0; 8];
            response[..4].copy_from_slice(&fd.to_ne_bytes());
            response[4..].copy_from_slice(&libc::FAN_ALLOW.to_ne_bytes());
            (&self.0).write_all(&response)?;
            drop(about);
            count += 1;
            events = &events[event_len..];
        }
        if events.is_empty() {
            Ok(count)
        } else {
            Err(io::Error::other("a fanotify event of another form"))
        }
    }
}

/// Length and descriptor of the first event (struct fanotify_event_metadata, version 3).
fn event(bytes: &[u8]) -> Option<(usize, i32)> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok();
    let len = usize::try_from(u32::from_ne_bytes(word(0)?)).ok()?;
    let fd = i32::from_ne_bytes(word(16)?);
    let version = *bytes.get(4)?;
    (version == 3 && (24..=bytes.len()).contains(&len) && fd >= 0).then_some((len, fd))
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
}
