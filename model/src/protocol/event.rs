// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Events that change the kernel's side.

use serde::Serialize;

use crate::observation::Errno;

/// Name of a cache object: volume key and cookie key as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Blob(pub u8);

/// A mount of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mount(pub u8);

/// A task that may have to wait, in mount(2) or in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Waiter(pub u8);

/// `msg_id` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MessageId(pub u32);

/// `object_id` of a message, 1..=i32::MAX. It also stands for the descriptor here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectId(pub u32);

/// Pages of a blob, from `first` up to but excluding `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Pages {
    /// The first page.
    pub first: u64,
    /// The page after the last.
    pub end: u64,
}

impl Pages {
    /// `count` pages from `first`.
    pub fn new(first: u64, count: u64) -> Self {
        let end = first + count;
        Self { first, end }
    }

    /// True if `page` is in the range.
    pub fn contains(self, page: u64) -> bool {
        (self.first..self.end).contains(&page)
    }

    /// True if the ranges share a page.
    pub fn overlaps(self, other: Self) -> bool {
        self.first < other.end && other.first < self.end
    }

    /// Iterates over the page numbers.
    pub fn iter(self) -> std::ops::Range<u64> {
        self.first..self.end
    }
}

/// Wait options of a mount. Linux 6.12 has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Options {
    /// A missing range waits for a new session instead of failing with EIO while there is none.
    pub wait_for_session: bool,
    /// Waits have a time limit.
    pub time_limit: bool,
}

/// Obstacle that keeps read(2) on the device from returning the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The buffer is smaller than the message.
    SmallBuffer,
    /// The buffer cannot be written to.
    BadBuffer,
    /// No descriptor can be made: EMFILE, ENFILE, ENOMEM. Affects OPEN only.
    NoDescriptor(Errno),
}

/// Second argument of `copen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The blob's size in bytes.
    Size(u64),
    /// A negative errno, -4095..=-1.
    Error(Errno),
    /// A number less than -4095.
    BelowErrnos,
    /// Not a number.
    NotANumber,
    /// A number that does not fit a C `long`.
    OutOfRange,
}

/// Input of the machine. An event that no caller can cause (a call on a descriptor that is not open, a signal
/// to a task that does not wait) yields [`super::EventOutcome::Ignored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// open(2) of the device.
    OpenDevice,
    /// `bind ondemand`, with all prerequisites met.
    Bind,
    /// The daemon enables the extensions.
    EnableExtensions,
    /// read(2) on the device.
    Receive(Option<Trouble>),
    /// poll(2) on the device.
    Poll,
    /// `copen`; `None` if the text has no comma or no valid id.
    Copen(Option<MessageId>, Reply),
    /// `restore`.
    Restore,
    /// The last close of the device.
    CloseDevice,

    /// pwrite(2) of whole pages to a descriptor.
    Write(ObjectId, Pages),
    /// READ_COMPLETE on a descriptor.
    Complete(ObjectId, MessageId),
    /// READ answered with an errno (an extension).
    CompleteWithError(ObjectId, MessageId, Errno),
    /// The last close of a descriptor.
    CloseDescriptor(ObjectId),

    /// mount(2) acquires a blob. Several of these make a mount with several blobs; the options of
    /// the first apply.
    Mount(Waiter, Mount, Blob, Options),
    /// A read of a mounted blob requests pages.
    Read(Waiter, Mount, Blob, Pages),
    /// A woken reader runs again.
    Resume(Waiter),
    /// A fatal signal for a task.
    Kill(Waiter),
    /// A task has waited for its mount's time limit.
    Expire(Waiter),
    /// umount(2).
    Unmount(Mount),
    /// umount2(MNT_FORCE).
    ForceUnmount(Mount),

    /// The cache's file system fails: `cachefiles_io_error`.
    CacheFails,
}
