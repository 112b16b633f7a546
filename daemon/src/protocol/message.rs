// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Messages of the kernel, parsed from the bytes of one read(2)
//! (`docs/spec/cachefiles-ondemand.md` section 3).

use std::ffi::CStr;
use std::fmt;
use std::os::fd::RawFd;

use thiserror::Error;

const HEADER: usize = 16;
const OPEN_FIXED: usize = 16;
const READ_PAYLOAD: usize = 16;

/// Id of a request, which its answer repeats. The kernel allocates ids cyclically from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub u32);

/// Id of an object's descriptor, valid from its OPEN to its last close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// Id in a message whose descriptor was closed while the message was being delivered.
    pub const CLOSED: Self = Self(u32::MAX);
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// Id of the request.
    pub id: MsgId,
    /// The object that the request concerns.
    pub object: ObjectId,
    /// The requested operation.
    pub operation: Operation<'b>,
}

/// The operation that a message requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'b> {
    /// Opens an object. Answered by [`Command::Copen`](super::Command::Copen).
    Open {
        /// Key of the volume, without its NUL: `erofs,<fsid>` or `erofs,<domain_id>`.
        volume: &'b [u8],
        /// Key of the cookie: the name of the blob in its volume.
        cookie: &'b [u8],
        /// The object's descriptor, which read(2) installed in the table of this process.
        fd: RawFd,
        /// Reserved, always 0.
        flags: u32,
    },
    /// Closes an object. There is no answer.
    Close,
    /// Requests missing bytes. Answered by [`Object::complete`](super::Object::complete) after they
    /// were written. The range can extend past the size in the answer to the OPEN.
    Read {
        /// Offset of the first byte; EROFS sends multiples of [`PAGE`](super::PAGE).
        offset: u64,
        /// Number of bytes; EROFS sends multiples of [`PAGE`](super::PAGE).
        len: u64,
    },
}

/// A malformed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are fewer than a header.
    #[error("a message of {0} bytes is shorter than its header of {HEADER}")]
    Header(usize),
    /// The length in the header is not the number of bytes read.
    #[error("message {id} has a length of {stated} bytes in its header, but {have} were read")]
    Length {
        /// Id of the message.
        id: MsgId,
        /// Length in the header, in bytes.
        stated: u32,
        /// Number of bytes read.
        have: usize,
    },
    /// The opcode is unknown.
    #[error("message {id} has the unknown opcode {opcode}; known are 0 OPEN, 1 CLOSE and 2 READ")]
    Opcode {
        /// Id of the message.
        id: MsgId,
        /// The opcode.
        opcode: u32,
    },
    /// The payload has the wrong length for its operation.
    #[error("{operation} {id} has a payload of {have} bytes instead of {want}")]
    Payload {
        /// Id of the message.
        id: MsgId,
        /// Name of the operation in the protocol.
        operation: &'static str,
        /// Expected length of the payload, in bytes.
        want: u64,
        /// Actual length of the payload, in bytes.
        have: usize,
    },
    /// The volume key has no NUL at its end, or another one before.
    #[error("the volume key of OPEN {id} must be {size} bytes with a single NUL at the end")]
    VolumeKey {
        /// Id of the message.
        id: MsgId,
        /// Size of the key in the message, in bytes.
        size: u32,
    },
    /// The descriptor is negative.
    #[error("OPEN {id} carries {fd}, which is no descriptor")]
    Descriptor {
        /// Id of the message.
        id: MsgId,
        /// The number in the message.
        fd: u32,
    },
    /// The range ends past the largest file offset.
    #[error("READ {id} requests {len} bytes at {offset}, past the largest file offset")]
    Range {
        /// Id of the message.
        id: MsgId,
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
}

/// Parses `bytes`, which must be exactly one message.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (header, payload) = bytes
        .split_first_chunk::<HEADER>()
        .ok_or(DecodeError::Header(bytes.len()))?;
    let id = MsgId(word(header, 0));
    let stated = word(header, 8);
    if stated as usize != bytes.len() {
        return Err(DecodeError::Length {
            id,
            stated,
            have: bytes.len(),
        });
    }
    let operation = match word(header, 4) {
        0 => open(id, payload)?,
        1 if payload.is_empty() => Operation::Close,
        1 => return Err(payload_error(id, "CLOSE", 0, payload)),
        2 => read(id, payload)?,
        opcode => return Err(DecodeError::Opcode { id, opcode }),
    };
    Ok(Message {
        id,
        object: ObjectId(word(header, 12)),
        operation,
    })
}

fn open(id: MsgId, payload: &[u8]) -> Result<Operation<'_>, DecodeError> {
    let (fixed, keys) = payload
        .split_first_chunk::<OPEN_FIXED>()
        .ok_or_else(|| payload_error(id, "OPEN", OPEN_FIXED as u64, payload))?;
    let (size, cookie_size) = (word(fixed, 0), word(fixed, 4));
    let want = OPEN_FIXED as u64 + u64::from(size) + u64::from(cookie_size);
    if payload.len() as u64 != want {
        return Err(payload_error(id, "OPEN", want, payload));
    }
    let fd = word(fixed, 8);
    let fd = RawFd::try_from(fd).map_err(|_| DecodeError::Descriptor { id, fd })?;
    let (volume, cookie) = keys.split_at(size as usize);
    let volume =
        CStr::from_bytes_with_nul(volume).map_err(|_| DecodeError::VolumeKey { id, size })?;
    Ok(Operation::Open {
        volume: volume.to_bytes(),
        cookie,
        fd,
        flags: word(fixed, 12),
    })
}

fn read(id: MsgId, payload: &[u8]) -> Result<Operation<'_>, DecodeError> {
    let fixed: &[u8; READ_PAYLOAD] = payload
        .try_into()
        .map_err(|_| payload_error(id, "READ", READ_PAYLOAD as u64, payload))?;
    let (offset, len) = (long(fixed, 0), long(fixed, 8));
    match offset.checked_add(len) {
        Some(end) if end <= i64::MAX as u64 => Ok(Operation::Read { offset, len }),
        _ => Err(DecodeError::Range { id, offset, len }),
    }
}

fn payload_error(id: MsgId, operation: &'static str, want: u64, payload: &[u8]) -> DecodeError {
    DecodeError::Payload {
        id,
        operation,
        want,
        have: payload.len(),
    }
}

fn word(from: &[u8; 16], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|n| from[at + n]))
}

fn long(from: &[u8; 16], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|n| from[at + n]))
}

impl Operation<'_> {
    /// Name of the operation in the protocol.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "OPEN",
            Self::Close => "CLOSE",
            Self::Read { .. } => "READ",
        }
    }
}

impl fmt::Display for MsgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(id: u32, opcode: u32, object: u32, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER + payload.len()).unwrap();
        let mut all: Vec<u8> = [id, opcode, len, object]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        all.extend(payload);
        all
    }

    fn open_bytes(volume: &[u8], cookie: &[u8], fd: u32) -> Vec<u8> {
        let sizes = [volume.len(), cookie.len()].map(|len| u32::try_from(len).unwrap());
        let mut payload: Vec<u8> = [sizes[0], sizes[1], fd, 0]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        payload.extend(volume);
        payload.extend(cookie);
        bytes(7, 0, 3, &payload)
    }

    #[test]
    fn an_open_is_decoded() {
        let message = open_bytes(b"erofs,root\0", b"root", 12);
        assert_eq!(message.len(), 32 + 11 + 4);
        assert_eq!(
            decode(&message),
            Ok(Message {
                id: MsgId(7),
                object: ObjectId(3),
                operation: Operation::Open {
                    volume: b"erofs,root",
                    cookie: b"root",
                    fd: 12,
                    flags: 0,
                },
            })
        );
    }

    #[test]
    fn a_close_of_a_closed_object_is_decoded() {
        let close = bytes(0, 1, u32::MAX, &[]);
        let message = decode(&close).unwrap();
        assert_eq!(message.object, ObjectId::CLOSED);
        assert_eq!(message.operation, Operation::Close);
    }

    #[test]
    fn a_read_is_decoded() {
        let payload = [8192u64, 4096].map(u64::to_ne_bytes).concat();
        assert_eq!(
            decode(&bytes(1, 2, 3, &payload)).unwrap().operation,
            Operation::Read {
                offset: 8192,
                len: 4096
            }
        );
    }

    #[test]
    fn errors_name_the_message_and_the_fault() {
        let error = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(
            error(&[0; 15]),
            "a message of 15 bytes is shorter than its header of 16"
        );
        let mut long = bytes(5, 1, 1, &[]);
        long.push(0);
        assert_eq!(
            error(&long),
            "message 5 has a length of 16 bytes in its header, but 17 were read"
        );
        assert_eq!(
            error(&bytes(5, 3, 1, &[])),
            "message 5 has the unknown opcode 3; known are 0 OPEN, 1 CLOSE and 2 READ"
        );
        assert_eq!(
            error(&bytes(5, 1, 1, &[0])),
            "CLOSE 5 has a payload of 1 bytes instead of 0"
        );
        assert_eq!(
            error(&bytes(5, 2, 1, &[0; 8])),
            "READ 5 has a payload of 8 bytes instead of 16"
        );
        let huge = [i64::MAX as u64, 1].map(u64::to_ne_bytes).concat();
        assert_eq!(
            error(&bytes(5, 2, 1, &huge)),
            "READ 5 requests 1 bytes at 9223372036854775807, past the largest file offset"
        );
        for volume in [&b"erofs"[..], b"", b"er\0ofs\0"] {
            assert_eq!(
                error(&open_bytes(volume, b"a", 3)),
                format!(
                    "the volume key of OPEN 7 must be {} bytes with a single NUL at the end",
                    volume.len()
                )
            );
        }
        assert_eq!(
            error(&open_bytes(b"v\0", b"a", u32::MAX)),
            "OPEN 7 carries 4294967295, which is no descriptor"
        );
        let mut sizes = open_bytes(b"v\0", b"a", 3);
        sizes[16..24].fill(0xff);
        assert_eq!(
            error(&sizes),
            "OPEN 7 has a payload of 19 bytes instead of 8589934606"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_decode_or_fail(
            mut bytes in prop::collection::vec(any::<u8>(), 0..128),
            opcode in 0u32..4,
            well_formed in any::<bool>(),
        ) {
            if well_formed && bytes.len() >= HEADER {
                let len = u32::try_from(bytes.len()).unwrap();
                bytes[4..8].copy_from_slice(&opcode.to_ne_bytes());
                bytes[8..12].copy_from_slice(&len.to_ne_bytes());
            }
            if let Ok(message) = decode(&bytes) {
                let payload = match message.operation {
                    Operation::Open { volume, cookie, .. } => 16 + volume.len() + 1 + cookie.len(),
                    Operation::Close => 0,
                    Operation::Read { .. } => 16,
                };
                prop_assert_eq!(bytes.len(), HEADER + payload);
            }
        }

        #[test]
        fn keys_are_decoded_unchanged(
            volume in prop::collection::vec(1u8.., 0..256),
            cookie in prop::collection::vec(any::<u8>(), 0..256),
            fd in 0..=i32::MAX,
        ) {
            let terminated = [&volume[..], &[0]].concat();
            let bytes = open_bytes(&terminated, &cookie, fd.unsigned_abs());
            prop_assert_eq!(decode(&bytes).unwrap().operation, Operation::Open {
                volume: &volume,
                cookie: &cookie,
                fd,
                flags: 0,
            });
        }
    }
}
