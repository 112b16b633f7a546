// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Lines of the kernel's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{ensure, Context, Result};

/// The kernel's log from some moment on.
#[derive(Debug)]
pub(crate) struct KernelLog(File);

impl KernelLog {
    /// The log from now on.
    ///
    /// # Errors
    /// `/dev/kmsg` cannot be opened.
    pub(crate) fn from_now() -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut log = options.open("/dev/kmsg").context("/dev/kmsg")?;
        log.seek(SeekFrom::End(0)).context("the end of /dev/kmsg")?;
        Ok(Self(log))
    }

    /// The lines that were added since the last call.
    ///
    /// # Errors
    /// `/dev/kmsg` cannot be read.
    pub(crate) fn lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(len) => {
                    let text = String::from_utf8_lossy(&record[..len]);
                    // Priority, number, time and flags; then the line; then what belongs to it.
                    let line = text.split_once(';').map_or(&*text, |(_, line)| line);
                    lines.extend(line.lines().next().map(str::to_owned));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lines),
                // Older records were overwritten.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => return Err(error).context("reading /dev/kmsg"),
            }
        }
    }

    /// Checks that a line with `text` in it was added since the last call.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn has(&mut self, text: &str) -> Result<()> {
        let lines = self.lines()?;
        ensure!(
            lines.iter().any(|line| line.contains(text)),
            "{text:?} is not in the kernel's log, but {lines:?}"
        );
        Ok(())
    }
}
