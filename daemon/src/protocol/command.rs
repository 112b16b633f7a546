// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Text commands to the device, one per write(2) (`docs/spec/cachefiles-ondemand.md` section 2).

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::message::MsgId;

/// A text command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Sets the directory of the cache files. Allowed once, before the bind.
    Dir(&'a Path),
    /// Sets the cache's tag, `CacheFiles` by default. Allowed once, before the bind.
    Tag(&'a str),
    /// Brings the cache online in on-demand mode.
    BindOnDemand,
    /// Answers an OPEN with the object's size in bytes, or with an errno.
    Copen(MsgId, Result<u64, Errno>),
    /// Requeues all pending requests, for a new daemon on the same open device.
    Restore,
}

impl Command<'_> {
    /// Bytes of the command, without a newline.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Dir(path) => [b"dir ", path.as_os_str().as_bytes()].concat(),
            Self::Tag(tag) => format!("tag {tag}").into_bytes(),
            Self::BindOnDemand => b"bind ondemand".to_vec(),
            Self::Copen(id, Ok(size)) => format!("copen {id},{size}").into_bytes(),
            Self::Copen(id, Err(errno)) => {
                format!("copen {id},-{}", errno.raw_os_error()).into_bytes()
            }
            Self::Restore => b"restore".to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_encoded_as_text() {
        let text = |command: Command<'_>| String::from_utf8(command.encode()).unwrap();
        assert_eq!(text(Command::Dir(Path::new("/a b"))), "dir /a b");
        assert_eq!(text(Command::Tag("t")), "tag t");
        assert_eq!(text(Command::BindOnDemand), "bind ondemand");
        assert_eq!(
            text(Command::Copen(MsgId(4), Ok(1 << 33))),
            "copen 4,8589934592"
        );
        assert_eq!(
            text(Command::Copen(MsgId(u32::MAX), Err(Errno::NOENT))),
            "copen 4294967295,-2"
        );
        assert_eq!(text(Command::Restore), "restore");
    }
}
