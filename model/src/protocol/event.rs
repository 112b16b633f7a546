// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Everything that can happen to the kernel's side.

use serde::Serialize;

use crate::observation::Errno;

/// A cache object's name: volume key and cookie key as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Blob(pub u8);

/// A mount of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Mount(pub u8);

/// A task that may have to wait: in mount(2), or in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Waiter(pub u8);

/// `msg_id` of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct MessageId(pub u32);

/// `object_id` of a message: the number of a descriptor, 1..=i32::MAX. It stands for the descriptor itself here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectId(pub u32);

/// Pages of a blob, from `first` up to and without `end`.
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

    /// Whether `page` is one of them.
    pub fn contains(self, page: u64) -> bool {
        (self.first..self.end).contains(&page)
    }

    /// Whether they share a page.
    pub fn overlaps(self, other: Self) -> bool {
        self.first < other.end && other.first < self.end
    }

    /// Each page.
    pub fn iter(self) -> std::ops::Range<u64> {
        self.first..self.end
    }
}

/// How a mount wants its waits; Linux 6.12 has none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Options {
    /// A missing range waits for a new session while there is none, instead of failing with EIO.
    pub wait_for_session: bool,
    /// Its waits have a time limit.
    pub time_limit: bool,
}

/// What keeps read(2) on the device from returning the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// The buffer is smaller than the message.
    SmallBuffer,
    /// The buffer cannot be written to.
    BadBuffer,
    /// No descriptor can be made: EMFILE, ENFILE, ENOMEM. Met by OPEN alone.
    NoDescriptor(Errno),
}

/// What `copen` says after the comma.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// The blob's size in bytes.
    Size(u64),
    /// A negative errno, -4095..=-1.
    Error(Errno),
    /// A number below -4095.
    BelowErrnos,
    /// No number.
    NotANumber,
    /// A number that does not fit a C `long`.
    OutOfRange,
}

/// One thing that happens. What no caller can do (a call on a descriptor that is not open, a signal to a task that
/// does not wait) is [`super::Outcome::Ignored`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// open(2) of the device.
    OpenDevice,
    /// `bind ondemand`, with all that it needs in place.
    Bind,
    /// The daemon asks for the extensions.
    EnableExtensions,
    /// read(2) on the device.
    Receive(Option<Trouble>),
    /// poll(2) on the device.
    Poll,
    /// `copen`; without a message if the text has no comma or no valid id.
    Copen(Option<MessageId>, Reply),
    /// `restore`.
    Restore,
    /// The last close of the device.
    CloseDevice,

    /// pwrite(2) of whole pages to a descriptor.
    Write(ObjectId, Pages),
    /// READ_COMPLETE on a descriptor.
    Complete(ObjectId, MessageId),
    /// READ answered with an errno (extension).
    CompleteWithError(ObjectId, MessageId, Errno),
    /// The last close of a descriptor.
    CloseDescriptor(ObjectId),

    /// mount(2) needs a blob; several of these make a mount with several blobs. The first one's options hold.
    Mount(Waiter, Mount, Blob, Options),
    /// A read of a mounted blob needs pages.
    Read(Waiter, Mount, Blob, Pages),
    /// A woken reader runs again.
    Resume(Waiter),
    /// A fatal signal for a task.
    Kill(Waiter),
    /// A task has waited as long as its mount allows.
    Expire(Waiter),
    /// umount(2).
    Unmount(Mount),
    /// umount2(MNT_FORCE).
    ForceUnmount(Mount),

    /// The cache's file system fails: `cachefiles_io_error`.
    CacheFails,
}
