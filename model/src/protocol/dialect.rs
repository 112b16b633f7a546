// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Table of departures: differences between Ondine's protocol and that of Linux 6.12, with reasons.
//!
//! The machine takes every dialect-dependent decision from this table. Each row must also be named
//! in `vmtest/conform/differences.toml`, the table of differences of the scenarios that run on both
//! kernels. Reasons refer to sections of docs/spec/cachefiles-ondemand.md.

use serde::{Deserialize, Serialize};

use crate::observation::Errno;

/// The rules that the machine follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Linux 6.12.107 with CACHEFILES_ONDEMAND, EROFS as its user.
    Linux612,
    /// ondine.ko.
    Ondine,
}

impl Dialect {
    /// True if Ondine's behaviour of the row applies.
    pub fn departs(self, departure: Departure) -> bool {
        match self {
            Dialect::Linux612 => false,
            Dialect::Ondine => departure.row().linux != departure.row().ondine,
        }
    }

    /// The errno of the row, if this dialect fails there.
    pub fn errno(self, departure: Departure) -> Option<Errno> {
        let row = departure.row();
        let behaviour = match self {
            Dialect::Linux612 => row.linux,
            Dialect::Ondine => row.ondine,
        };
        match behaviour {
            Behaviour::Fails(errno) => Some(errno),
            Behaviour::Does(_) => None,
        }
    }
}

/// Behaviour of a dialect in a situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// The caller or waiter gets this errno.
    Fails(Errno),
    /// Description of the behaviour.
    Does(&'static str),
}

/// A row of the table of departures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DepartureRow {
    /// The situation.
    pub departure: Departure,
    /// Behaviour of Linux 6.12.
    pub linux: Behaviour,
    /// Behaviour of Ondine.
    pub ondine: Behaviour,
    /// Reason for Ondine's behaviour.
    pub reason: &'static str,
}

impl Departure {
    /// The situation's row.
    pub fn row(self) -> &'static DepartureRow {
        let row = TABLE.iter().find(|row| row.departure == self);
        row.expect("a test holds the table complete")
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $departure:ident, $linux:expr, $ondine:expr, $reason:literal;)*) => {
        /// A situation in which the dialects differ.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Departure { $($(#[$doc])* $departure,)* }

        impl Departure {
            /// Every departure, in the order of the table.
            pub const ALL: &'static [Departure] = &[$(Departure::$departure),*];
        }

        /// All rows, one per [`Departure`].
        pub const TABLE: &[DepartureRow] = &[$(DepartureRow {
            departure: Departure::$departure, linux: $linux, ondine: $ondine,
            reason: $reason,
        }),*];
    };
}

const fn fails(errno: Errno) -> Behaviour {
    Behaviour::Fails(errno)
}

const fn does(what: &'static str) -> Behaviour {
    Behaviour::Does(what)
}

table! {
    /// A fatal signal arrives at a mount that waits for OPEN or for the object's former life to
    /// end.
    KilledMount, does("keeps waiting: the wait is uninterruptible"), fails(Errno::EINTR),
        "section 6.3: a daemon that never answers must not leave unkillable tasks";
    /// A fatal signal arrives at a reader.
    KilledReader, does("its request is removed"), does("its request stays if the daemon has read it, or others wait for it"),
        "the request may have other readers, and the daemon may be writing its answer";
    /// A reader wants pages that a pending READ of the object covers.
    OverlappingReads, does("each reader queues its own READ"), does("the reader joins the pending READ"),
        "one message serves all readers of a range";
    /// A reader's range has several missing runs.
    SeveralRuns, does("one READ, for the first run"), does("a READ for each run that no pending READ covers"),
        "the daemon can fetch all runs in parallel";
    /// A merged READ is completed; its own first page is present, but not the first one missing for
    /// some reader.
    PartialAnswer, does("cannot happen: a READ begins where its only reader does"),
        does("the reader submits a READ from its own first missing page"),
        "the daemon may answer in part; EIO is for a READ that brought no data";
    /// A range is read after the cache went away or failed.
    Detached, fails(Errno::ENOBUFS), does("is read if present; if not, EIO, or waits for a new session"),
        "the cached bytes are valid, and a daemon may restart; a mount option selects waiting over errors";
    /// A missing range is read or waited for while the device is closed and descriptors of it are
    /// open.
    DeadMissing, fails(Errno::EIO), does("present data is read; missing data gives EIO or waits for a new session, by mount option"),
        "the cached bytes are valid, and a daemon may restart; a mount option selects waiting over errors";
    /// A READ ends with an error, or a time limit is reached, when the pages of a waiting reader are present.
    PresentDespiteError, fails(Errno::EIO), does("the reader has its pages"),
        "a READ serves many readers, and may fail or be late when it has brought the pages of some of them";
    /// The cache goes away while objects are mounted.
    Detach, does("objects are withdrawn, their mounts never recover"), does("objects close, as if their descriptors were closed"),
        "section 6.5: a new daemon attaches by blob, and a READ of a closed object re-opens it there";
    /// poll(2) on a dead device.
    HangUp, does("no event"), does("POLLHUP"),
        "the daemon learns that its device died; ondine.ko survives every disk error, so this applies to \
         descriptors of objects without an object or session";
    /// POLLIN while the only new request is a READ of a closed object.
    ReadyMeansMessage, does("POLLIN, and read(2) returns 0"), does("no POLLIN"), "section 8: otherwise the daemon busy-loops";
    /// Several requests are new.
    DeliveryOrder, does("by message id, from the one delivered last on"), does("mounts take turns, each with its oldest request"),
        "section 6.2: the requests of one mount must not delay those of others";
    /// A READ of a closed object is queued.
    ReopenAtOnce, does("read(2) that meets it starts the OPEN"), does("the OPEN is queued with it"),
        "the next message is then always in the table, so poll(2) can report it";
    /// The descriptor of an object is closed while its OPEN, or READs that came through it, are unanswered.
    LostDescriptor, does("they stay pending, not new, until restore"), does("they are new again"),
        "section 6.5: requests of a crashed daemon are delivered again without `restore`";
    /// A further OPEN of an object is refused, or cannot be delivered.
    RefusedReopen, does("READs of the object wait for another OPEN"), does("they fail with EIO"),
        "section 5.1: a daemon that cannot open a blob will not fill it";
    /// A further OPEN is answered with another size than the first one.
    OtherSize, does("the object has that size now"), does("OPEN and copen fail with EINVAL"),
        "the size of an object in use must not change";
    /// A first OPEN is answered with a size after its descriptor was closed.
    LateSize, does("the cache file stays as it is"), does("the cache file gets that size"),
        "the daemon serves a blob of that size; a file of another size belongs to another blob";
    /// `restore` meets an OPEN whose descriptor is open.
    RestoredOpen, fails(Errno::EEXIST), does("the OPEN is left alone"),
        "section 8: a second descriptor is impossible, so restore could only do harm";
    /// A blob is wanted again while the CLOSE of its former life is unread.
    FormerLife, does("waits until the CLOSE is read"), does("the blob has a new object at once"),
        "section 6.3: a daemon that does not read must not delay a mount; CLOSE names its descriptor";
    /// A reader wants pages beyond the blob's end.
    BeyondEnd, does("a READ is sent for them"), fails(Errno::EIO),
        "section 3: the daemon defined the blob's end, and only a damaged image reads beyond it";
    /// The daemon answers a request that it has not read: a READ, or a further OPEN.
    UnreadAnswer, does("the answer is accepted"), fails(Errno::EINVAL),
        "section 12.5: an answer to an undelivered message is a mistake, and would complete a later request";
    /// The daemon answers a READ with an errno.
    ErrorReply, fails(Errno::EINVAL), does("the readers get the errno"),
        "section 5.2: a daemon that knows the error can report it instead of leaving a hole";
    /// The daemon requests extensions.
    Extensions, fails(Errno::EOPNOTSUPP), does("the session has them"), "a client that does not enable them sees the old protocol";
    /// A waiter reaches its mount's time limit.
    TimeLimit, does("there is no limit"), fails(Errno::ETIMEDOUT), "section 6.3: waits in C never time out";
    /// umount2(MNT_FORCE) while tasks wait.
    ForcedUnmount, fails(Errno::EBUSY), does("ends the mount's waiters with EIO"),
        "every wait must end; this one ends with the mount";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_departure_has_exactly_one_row_with_a_reason() {
        for departure in Departure::ALL {
            let rows = TABLE.iter().filter(|row| row.departure == *departure);
            assert_eq!(rows.count(), 1);
            assert!(!departure.row().reason.is_empty());
            assert!(
                Dialect::Ondine.departs(*departure),
                "{departure:?} is no departure"
            );
        }
    }
}
