// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the kernel asks (section 3), from the bytes that read(2) gave.

use std::ffi::CStr;
use std::fmt;
use std::os::fd::RawFd;

use thiserror::Error;

const HEADER: usize = 16;
const OPEN_FIXED: usize = 16;
const READ_PAYLOAD: usize = 16;

/// Names one request; answers carry it. The kernel hands ids out cyclically from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MsgId(pub u32);

/// Names one life of an object's descriptor, from its OPEN to its last close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

impl ObjectId {
    /// What a message reads when the descriptor was closed while the message was on its way.
    pub const CLOSED: Self = Self(u32::MAX);
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// What an answer must name.
    pub id: MsgId,
    /// The object that it is about.
    pub object: ObjectId,
    /// What is asked.
    pub operation: Operation<'b>,
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'b> {
    /// An object is wanted: answered by [`Command::Copen`](super::Command::Copen).
    Open {
        /// The volume's key, without its NUL: `erofs,<fsid>` or `erofs,<domain_id>`.
        volume: &'b [u8],
        /// The cookie's key: the name of the blob in its volume.
        cookie: &'b [u8],
        /// The object's descriptor, which the read(2) put into this process' table.
        fd: RawFd,
        /// Always 0 so far.
        flags: u32,
    },
    /// The object is no longer wanted. There is no answer.
    Close,
    /// Bytes are missing: answered by [`Object::complete`](super::Object::complete) after they were
    /// written. The range can go past the size that the OPEN was answered with.
    Read {
        /// First byte, a multiple of [`PAGE`](super::PAGE) from EROFS.
        offset: u64,
        /// Bytes, a multiple of [`PAGE`](super::PAGE) from EROFS.
        len: u64,
    },
}

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Not even a header.
    #[error("a message of {0} bytes is shorter than its header of {HEADER}")]
    Header(usize),
    /// The header's length is not what was read.
    #[error("message {id} says that it has {said} bytes, but {have} were read")]
    Length {
        /// The message.
        id: MsgId,
        /// Its `len`.
        said: u32,
        /// Bytes that were read.
        have: usize,
    },
    /// The opcode is none of this protocol.
    #[error("message {id} has opcode {opcode}; 0 OPEN, 1 CLOSE and 2 READ are known")]
    Opcode {
        /// The message.
        id: MsgId,
        /// Its opcode.
        opcode: u32,
    },
    /// The payload is not as long as the operation's.
    #[error("{operation} {id} has a payload of {have} bytes in place of {want}")]
    Payload {
        /// The message.
        id: MsgId,
        /// Its name in the protocol.
        operation: &'static str,
        /// Bytes of payload that the operation has.
        want: u64,
        /// Bytes of payload that are there.
        have: usize,
    },
    /// The volume key does not end where its size says.
    #[error("the volume key of OPEN {id} is not {size} bytes with the only NUL at the end")]
    VolumeKey {
        /// The message.
        id: MsgId,
        /// The size in the message.
        size: u32,
    },
    /// The descriptor is none.
    #[error("OPEN {id} carries the descriptor {fd}")]
    Descriptor {
        /// The message.
        id: MsgId,
        /// What is in place of a descriptor.
        fd: u32,
    },
    /// The range ends past what a file can have.
    #[error("READ {id} asks for {len} bytes at {offset}, past the largest file offset")]
    Range {
        /// The message.
        id: MsgId,
        /// Its first byte.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
}

/// The message that is exactly `bytes`.
///
/// # Errors
/// What is wrong with the bytes, and in which message.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (header, payload) = bytes
        .split_first_chunk::<HEADER>()
        .ok_or(DecodeError::Header(bytes.len()))?;
    let id = MsgId(word(header, 0));
    let said = word(header, 8);
    if said as usize != bytes.len() {
        return Err(DecodeError::Length {
            id,
            said,
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
    /// The operation's name in the protocol.
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
    fn an_open() {
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
    fn a_close_of_a_closed_object() {
        let close = bytes(0, 1, u32::MAX, &[]);
        let message = decode(&close).unwrap();
        assert_eq!(message.object, ObjectId::CLOSED);
        assert_eq!(message.operation, Operation::Close);
    }

    #[test]
    fn a_read() {
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
    fn what_is_wrong_is_named() {
        let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(
            said(&[0; 15]),
            "a message of 15 bytes is shorter than its header of 16"
        );
        let mut long = bytes(5, 1, 1, &[]);
        long.push(0);
        assert_eq!(
            said(&long),
            "message 5 says that it has 16 bytes, but 17 were read"
        );
        assert_eq!(
            said(&bytes(5, 3, 1, &[])),
            "message 5 has opcode 3; 0 OPEN, 1 CLOSE and 2 READ are known"
        );
        assert_eq!(
            said(&bytes(5, 1, 1, &[0])),
            "CLOSE 5 has a payload of 1 bytes in place of 0"
        );
        assert_eq!(
            said(&bytes(5, 2, 1, &[0; 8])),
            "READ 5 has a payload of 8 bytes in place of 16"
        );
        let huge = [i64::MAX as u64, 1].map(u64::to_ne_bytes).concat();
        assert_eq!(
            said(&bytes(5, 2, 1, &huge)),
            "READ 5 asks for 1 bytes at 9223372036854775807, past the largest file offset"
        );
        for volume in [&b"erofs"[..], b"", b"er\0ofs\0"] {
            assert_eq!(
                said(&open_bytes(volume, b"a", 3)),
                format!(
                    "the volume key of OPEN 7 is not {} bytes with the only NUL at the end",
                    volume.len()
                )
            );
        }
        assert_eq!(
            said(&open_bytes(b"v\0", b"a", u32::MAX)),
            "OPEN 7 carries the descriptor 4294967295"
        );
        let mut sizes = open_bytes(b"v\0", b"a", 3);
        sizes[16..24].fill(0xff);
        assert_eq!(
            said(&sizes),
            "OPEN 7 has a payload of 19 bytes in place of 8589934606"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(
            mut bytes in prop::collection::vec(any::<u8>(), 0..128),
            opcode in 0u32..4,
            honest in any::<bool>(),
        ) {
            if honest && bytes.len() >= HEADER {
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
        fn keys_come_back(
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
