// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The cachefiles on-demand protocol, as Linux 5.19 to 7.1 and `ondine.ko` speak it.
//!
//! Specified in `docs/spec/cachefiles-ondemand.md` sections 1 to 5. All numbers on the wire are in
//! host byte order. This module knows nothing of backends or of the daemon's threads.
//!
//! | type | stands for |
//! | --- | --- |
//! | [`Device`] | the open device: reads messages, writes commands, polls |
//! | [`Message`], [`decode`] | one message from the kernel, parsed from its bytes |
//! | [`Command`] | one text command to the kernel |
//! | [`Object`] | the descriptor of one object: writes its cache file, completes its READs |
//! | [`Features`] | the extensions of `ondine.ko` |

mod command;
mod device;
mod extension;
mod ioctl;
mod message;
mod object;

pub use command::Command;
pub use device::{Device, Readiness, ReceiveError, Received};
pub use extension::Features;
#[cfg(test)]
pub(crate) use ioctl::Ioctls;
pub use ioctl::READ_COMPLETE;
pub use message::{decode, DecodeError, Message, MsgId, ObjectId, Operation};
pub use object::Object;

/// Default path of the device node.
pub const DEVICE: &str = "/dev/cachefiles";

/// Maximum size of a message in bytes: `CACHEFILES_MSG_MAX_SIZE`.
pub const MSG_MAX: usize = 1024;

/// Alignment in bytes of offsets that are written to an object, and of the offset and length of a
/// READ.
///
/// The protocol says PAGE_SIZE, and EROFS requires that to equal its block size.
pub const PAGE: u64 = 4096;
