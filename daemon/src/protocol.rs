// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The cachefiles on-demand protocol, as Linux 5.19 to 7.1 spoke it and `ondine.ko` speaks it
//! (cachefiles-ondemand.md 1 to 5). All numbers on the wire are host-endian.

mod command;
mod device;
mod extension;
mod message;
mod object;

pub use command::Command;
pub use device::{Device, Readiness, ReceiveError, Received};
pub use extension::Features;
pub use message::{decode, DecodeError, Message, MsgId, ObjectId, Operation};
pub use object::Object;

/// Where the device node is unless somebody says otherwise.
pub const DEVICE: &str = "/dev/cachefiles";

/// CACHEFILES_MSG_MAX_SIZE: no message is longer, in bytes (section 3).
pub const MSG_MAX: usize = 1024;

/// Offsets that are written to an object are multiples of this many bytes, and so is the length of a
/// READ (sections 3 and 4). The protocol wants PAGE_SIZE, which EROFS needs to be the block size.
pub const PAGE: u64 = 4096;

/// CACHEFILES_IOC_READ_COMPLETE, `_IOW(0x98, 1, int)`: its argument is the message id (section 4).
pub const READ_COMPLETE: u32 = 0x4004_9801;
