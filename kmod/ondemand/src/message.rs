// SPDX-License-Identifier: GPL-2.0

//! Messages that the daemon reads from the device: a header and a payload, in the
//! machine's byte order, without padding.
//!
//! Source: docs/spec/cachefiles-ondemand.md section 3.

/// Bytes of the header: msg_id, opcode, len, object_id.
pub const HEADER_SIZE: usize = 16;
/// Bytes that hold any message; a daemon reads with a buffer of this size.
pub const SIZE_MAX: usize = 1024;

/// Bytes before the keys in the payload of an OPEN.
const OPEN_FIXED: usize = 16;
/// Bytes of the payload of a READ.
const READ_FIXED: usize = 16;

/// A message to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// An object is about to be used. Answered with its size, by `copen`.
    Open {
        /// Key of the volume, without the NUL that the message carries.
        volume_key: &'a [u8],
        /// Key of the cookie, bare as in the message.
        cookie_key: &'a [u8],
        /// The object's descriptor in the reading process.
        fd: u32,
    },
    /// An object is no longer used. No answer.
    Close,
    /// These bytes of an object are missing. Answered by an ioctl on one of
    /// the object's descriptors.
    Read {
        /// Start of the range in the object, in bytes.
        offset: u64,
        /// Length of the range in bytes; it may go past the object's end.
        len: u64,
    },
}

impl Message<'_> {
    /// The opcode in the header.
    pub const fn opcode(&self) -> u32 {
        match self {
            Message::Open { .. } => 0,
            Message::Close => 1,
            Message::Read { .. } => 2,
        }
    }

    /// Bytes of the whole message, header included.
    pub const fn size(&self) -> usize {
        let payload = match self {
            Message::Open {
                volume_key,
                cookie_key,
                ..
            } => OPEN_FIXED
                .saturating_add(volume_key.len())
                .saturating_add(1)
                .saturating_add(cookie_key.len()),
            Message::Close => 0,
            Message::Read { .. } => READ_FIXED,
        };
        HEADER_SIZE.saturating_add(payload)
    }

    /// Writes the message to the start of `buf` and returns its size; `None` if it
    /// does not fit, with unspecified contents of `buf`.
    #[must_use]
    pub fn encode(&self, msg_id: u32, object_id: u32, buf: &mut [u8]) -> Option<usize> {
        let size = self.size();
        let mut out = Out(buf.get_mut(..size)?);
        out.u32(msg_id)?;
        out.u32(self.opcode())?;
        out.u32(u32::try_from(size).ok()?)?;
        out.u32(object_id)?;
        match *self {
            Message::Open {
                volume_key,
                cookie_key,
                fd,
            } => {
                // Neither length can overflow: the size of both together did not.
                out.u32((volume_key.len() as u32).wrapping_add(1))?;
                out.u32(cookie_key.len() as u32)?;
                out.u32(fd)?;
                // Flags: none is defined.
                out.u32(0)?;
                out.bytes(volume_key)?;
                out.bytes(&[0])?;
                out.bytes(cookie_key)?;
            }
            Message::Close => {}
            Message::Read { offset, len } => {
                out.bytes(&offset.to_ne_bytes())?;
                out.bytes(&len.to_ne_bytes())?;
            }
        }
        Some(size)
    }
}

/// The rest of a buffer, which is not written yet.
struct Out<'b>(&'b mut [u8]);

impl Out<'_> {
    #[inline]
    fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_ne_bytes())
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let (head, rest) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len())?;
        head.copy_from_slice(bytes);
        self.0 = rest;
        Some(())
    }
}
