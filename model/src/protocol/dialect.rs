// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The one table of departures: where Ondine's protocol differs from Linux 6.12's, how, and why.
//!
//! The machine asks this table and nothing else which way to go, and the table of differences of the scenarios that
//! run against both kernels (`vmtest/conform/differences.toml`) has to name each row. Improvements (a) to (i) are those of the on-demand issue.

use serde::{Deserialize, Serialize};

use crate::observation::Errno;

/// Whose rules the machine follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Linux 6.12.107 with CACHEFILES_ONDEMAND, EROFS as its user.
    Linux612,
    /// ondine.ko.
    Ondine,
}

impl Dialect {
    /// Whether the better behaviour of the row holds.
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

/// What a dialect does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// The caller or waiter gets this errno.
    Fails(Errno),
    /// What happens instead.
    Does(&'static str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// The situation.
    pub departure: Departure,
    /// The improvement of the issue that it belongs to, or the design rule.
    pub improvement: &'static str,
    /// Linux 6.12.
    pub linux: Behaviour,
    /// Ondine.
    pub ondine: Behaviour,
    /// Why Ondine does so.
    pub reason: &'static str,
}

impl Departure {
    /// The situation's row.
    pub fn row(self) -> &'static Row {
        let row = TABLE.iter().find(|row| row.departure == self);
        row.expect("a test holds the table complete")
    }
}

macro_rules! table {
    ($($(#[$doc:meta])* $departure:ident, $improvement:literal, $linux:expr, $ondine:expr, $reason:literal;)*) => {
        /// A situation in which the dialects part.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Departure { $($(#[$doc])* $departure,)* }

        impl Departure {
            /// Every departure, in the order of the table.
            pub const ALL: &'static [Departure] = &[$(Departure::$departure),*];
        }

        /// All rows, one per [`Departure`].
        pub const TABLE: &[Row] = &[$(Row {
            departure: Departure::$departure, improvement: $improvement, linux: $linux, ondine: $ondine,
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
    /// A fatal signal meets a mount that waits for OPEN, or for the object's former life to end.
    KilledMount, "a", does("waits on: the wait is uninterruptible"), fails(Errno::EINTR),
        "6.3: a daemon that never answers must not leave tasks that cannot be killed";
    /// A fatal signal meets a reader.
    KilledReader, "b", does("its request is removed"), does("its request stays until answered, dropped or dead"),
        "the request may have other readers, and the daemon may be writing its answer";
    /// A reader wants pages that a pending READ of the object covers.
    OverlappingReads, "b", does("each reader queues its own READ"), does("the reader joins the READ that is there"),
        "one message for all readers of a range";
    /// A reader's range has several missing runs.
    SeveralRuns, "b", does("one READ, for the first run"), does("a READ for each run that no pending READ covers"),
        "the daemon can fetch all of them at once";
    /// A merged READ is completed: its own first page is present, but not the one that a reader misses first.
    PartialAnswer, "b", does("cannot be: a READ begins where its only reader does"),
        does("the reader asks again from its own first missing page"),
        "the daemon may answer a part, and did; EIO is for a READ that brought nothing";
    /// Any range, read after the cache went away or failed.
    Detached, "e", fails(Errno::ENOBUFS), does("is read if present; if not, EIO, or waits for a new session"),
        "the bytes are there; and a daemon restarts: whoever prefers waiting to errors says so at mount";
    /// A range that is missing, read or waited for while the device is closed and descriptors of it are open.
    DeadMissing, "e", fails(Errno::EIO), does("what came is read; else EIO, or waits for a new session: the mount's choice"),
        "as above";
    /// The cache goes away under mounted objects.
    Detach, "e", does("objects are withdrawn, their mounts never recover"), does("objects close, as if by descriptor"),
        "6.5: a new daemon attaches by blob, and READ of a closed object re-opens it there";
    /// poll(2) on a dead device.
    HangUp, "g", does("no event"), does("POLLHUP"),
        "the daemon learns that its device died; ondine.ko goes on after any error of a disk, so that what hangs up is \
         descriptors of objects, with their object or session";
    /// POLLIN while the only new request is a READ of a closed object.
    ReadyMeansMessage, "g", does("POLLIN, and read(2) returns 0"), does("no POLLIN"), "section 8: a busy loop";
    /// A READ of a closed object is new.
    ReopenAtOnce, "g", does("read(2) that meets it starts the OPEN"), does("the OPEN is queued with it"),
        "what read(2) would return is then always in the table, and poll(2) can tell";
    /// The descriptor of an object is closed while READs that came through it are unanswered.
    LostDescriptor, "g", does("they stay pending, not new, until restore"), does("they are new again"),
        "6.5: a daemon that crashed, or lost the descriptor, is asked through the next one without a word of its own";
    /// A further OPEN of an object is refused, or cannot be delivered.
    RefusedReopen, "rule 6", does("READs of the object wait for another OPEN"), does("they fail with EIO"),
        "5.1: what the daemon cannot open it will not fill";
    /// A further OPEN is answered with another size than the first one.
    OtherSize, "rule 5", does("the object has that size now"), does("it is a mistake: OPEN and copen fail with EINVAL"),
        "what readers know of an object in use does not change under them";
    /// A first OPEN is answered with a size after its descriptor was closed.
    LateSize, "d", does("the cache file stays as it is"), does("the cache file is made for that size all the same"),
        "the daemon knows a blob of that size, and a file of another holds another blob";
    /// `restore` meets an OPEN whose descriptor is open.
    RestoredOpen, "g", fails(Errno::EEXIST), does("it is left alone"),
        "section 8: a second descriptor cannot be, so that restore could only harm it";
    /// A blob is wanted again while the CLOSE of its former life is unread.
    FormerLife, "a", does("waits until the CLOSE is read"), does("the blob has a new object at once"),
        "6.3: a daemon that does not read must not keep a mount waiting; the CLOSE says which descriptor it means";
    /// A reader wants pages beyond the blob's end.
    BeyondEnd, "rule 6", does("the daemon is asked for them"), fails(Errno::EIO),
        "3: a blob ends where the daemon said, and only a damaged image wants more";
    /// A request that the daemon has not read is answered: a READ, or a further OPEN.
    UnreadAnswer, "rule 7", does("it is taken"), fails(Errno::EINVAL),
        "12.5: an answer to a message that was never given is a mistake, and would end the next one's wait";
    /// READ is answered with an errno.
    ErrorReply, "h", fails(Errno::EINVAL), does("the readers get the errno"),
        "5.2: a daemon that knows why need not leave a hole";
    /// Extensions are asked for.
    Extensions, "h", fails(Errno::EOPNOTSUPP), does("the session has them"), "an old client sees the old protocol";
    /// A waiter reaches its mount's time limit.
    TimeLimit, "i", does("there is no limit"), fails(Errno::ETIMEDOUT), "6.3: nothing timed out";
    /// umount2(MNT_FORCE) while tasks wait.
    ForcedUnmount, "rule 6", fails(Errno::EBUSY), does("ends the mount's waiters with EIO"),
        "no wait without an end: it ends when the mount goes away";
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
