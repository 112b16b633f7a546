// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The operations of an actor. Each is a raw, single action with one result.

// The syntax in the doc of each variant names its fields; the words of a choice name its variants.
#![allow(missing_docs)]

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};

use super::lexer::Words;

/// The default handle: the device.
pub const DEVICE: &str = "dev";

/// An operation. A handle names a descriptor: of the device, or of an object, which has the name of
/// its cookie key. Lengths and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// `open [HANDLE] [ro|wo]`: opens the device.
    Open { handle: String, access: Access },
    /// `close HANDLE`: closes the descriptor.
    Close { handle: String },
    /// `dup HANDLE NEW`: duplicates the descriptor under the name `NEW`.
    Dup { handle: String, new: String },
    /// `write TEXT [on HANDLE] [pad LENGTH]`: one write(2). In the text, `{boot}` is the message id of
    /// the last OPEN of `boot`, `{boot.read}` that of its last READ, and `{x}` that of the message that
    /// `recv as x` received. Padding follows a newline.
    Write {
        text: String,
        handle: String,
        pad: Option<usize>,
    },
    /// `read [LENGTH] [ids] [as NAME]`: one read(2) of the device, which never blocks.
    Read {
        room: usize,
        ids: bool,
        name: Option<String>,
    },
    /// `recv [ids] [as NAME] [of OBJECT]`: waits for the next message. With `of`, messages of other
    /// objects are kept for later operations.
    Recv {
        ids: bool,
        name: Option<String>,
        object: Option<String>,
    },
    /// `read-nowhere`: read(2) into an unmapped address.
    ReadNowhere,
    /// `poll`: the events that poll(2) reports now.
    Poll,
    /// `edge`: the events that an edge-triggered epoll reports now. The epoll is created by the first
    /// `edge`.
    Edge,
    /// `bind`: opens the device, sets `dir` to the scenario's cache and binds on demand. Every part must
    /// succeed.
    Bind,
    /// `copen OBJECT [ANSWER]`: answers the object's last OPEN with this text; by default, the size of
    /// its blob.
    Copen {
        object: String,
        answer: Option<String>,
    },
    /// `pwrite OBJECT OFFSET LENGTH [zeros|shifted]`: one pwrite(2) of the blob's bytes at this offset;
    /// with `zeros`, of zeros; with `shifted`, from a buffer that is not aligned for direct I/O.
    Pwrite {
        object: String,
        offset: u64,
        length: u64,
        bytes: Bytes,
    },
    /// `put OBJECT LENGTH`: one write(2) of the blob's first bytes at the descriptor's file offset.
    Put { object: String, length: u64 },
    /// `seek HANDLE SET|CUR|END|DATA|HOLE OFFSET`: one lseek(2).
    Seek {
        handle: String,
        whence: Whence,
        offset: u64,
    },
    /// `complete OBJECT [ID]`: the ioctl READ_COMPLETE for the object's last READ, or for the message
    /// with this name or number.
    Complete { object: String, id: Option<String> },
    /// `features`: the protocol extensions of the device, as a number.
    Features,
    /// `enable BITS`: enables protocol extensions.
    Enable { bits: u64 },
    /// `fail OBJECT ERRNO`: answers the object's last READ with this errno, given as a number.
    Fail { object: String, errno: u32 },
    /// `ioctl HANDLE COMMAND ARGUMENT`: one ioctl(2).
    Ioctl {
        handle: String,
        command: u64,
        argument: u64,
    },
    /// `misuse OBJECT read|map|sync|poll`: an operation that the object's descriptor does not support.
    Misuse { object: String, what: Misuse },
    /// `hangup OBJECT`: waits in poll(2) until the object's descriptor hangs up.
    Hangup { object: String },
    /// `descriptor OBJECT`: the descriptor's name, its access mode, and whether it was inheritable when
    /// it was received.
    Descriptor { object: String },
    /// `mount NAME OPTIONS`: mounts read-only with the driver under test.
    Mount { name: String, options: String },
    /// `umount NAME [lazy|force]`: unmounts.
    Umount { name: String, how: Unmount },
    /// `remount NAME OPTIONS`: remounts with other options.
    Remount { name: String, options: String },
    /// `statfs NAME`: the block size that statfs(2) reports.
    Statfs { name: String },
    /// `pread PATH OFFSET LENGTH [random]`: one pread(2), whose bytes are compared with the tree of the
    /// images. `random` turns readahead off, so that the READ covers exactly these pages.
    Pread {
        path: String,
        offset: u64,
        length: u64,
        random: bool,
    },
    /// `pread-into PATH OFFSET LENGTH TARGET`: like `pread ... random`, into a private mapping of the
    /// file TARGET, so that the read causes page faults in that file.
    PreadInto {
        path: String,
        offset: u64,
        length: u64,
        target: String,
    },
    /// `send PATH OFFSET LENGTH`: like `pread`, by sendfile(2) through the inode's page cache.
    Send {
        path: String,
        offset: u64,
        length: u64,
    },
    /// `map PATH OFFSET`: maps the file and faults in the page at this offset.
    Map { path: String, offset: u64 },
    /// `hold PATH`: opens the file and keeps it open. Later `pread`s of this actor use this descriptor.
    Hold { path: String },
    /// `ls PATH`: the names in a directory.
    Ls { path: String },
    /// `find PATH`: the files below this path of the cache, with their sizes.
    Find { path: String },
    /// `xattr PATH NAME`: the value of an xattr of a file in the cache, in hexadecimal.
    Xattr { path: String, name: String },
    /// `sh COMMAND`: runs a shell command with the variables `$cache`, `$blobs`, `$device`, `$drive`,
    /// `$mnt` and `$fs`.
    Sh { command: String },
    /// `watch PATH open|bytes`: listens by fanotify to a file in the cache. From now on a task that opens
    /// the file waits for an answer, or with `bytes` one that is about to read, write or punch what it
    /// has opened from now on.
    Watch { path: String, what: Watched },
    /// `permit`: answers the next task that waits because of `watch`. It goes on.
    Permit,
    /// `deny`: answers the next task that waits because of `watch`. It gets EPERM.
    Deny,
    /// `chdir PATH`: changes the working directory to this path of the cache.
    Chdir { path: String },
    /// `become UID`: gives up root rights.
    Become { uid: u32 },
    /// `nofile COUNT`: sets the soft limit of descriptors.
    Nofile { count: u64 },
    /// `catch`: installs a handler of SIGUSR1, so that the signal interrupts without killing.
    Catch,
    /// `times COUNT OPERATION...`: runs these operations (one word each) in order, `COUNT` times. The
    /// result is the sorted set of their results.
    Times { count: u64, ops: Vec<Op> },
    /// `snatch`: one read(2) of an OPEN while another thread of the process closes the message's
    /// descriptor as soon as it is installed.
    Snatch,
    /// A turn of a daemon: answers the pending messages, or waits a moment if there is none. If
    /// `starving`, it completes every READ without data. With `restored`, messages may come twice, and all but one
    /// of their answers be refused. Issued by the executor for `serve`, `starve` and `drain`.
    Turn { starving: bool, restored: bool },
    /// The number of a descriptor, and the id of its object. Issued by the executor for `take`.
    Number { handle: String },
    /// Copies a descriptor of another process. Issued by the executor for `take`.
    Take {
        pid: i32,
        number: i32,
        handle: String,
        object: Option<u32>,
    },
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$mark:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $($(#[$mark])* $variant),+ }

        impl $name {
            fn of(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    other => bail!("{other:?} is none of {}", [$($word),+].join(", ")),
                }
            }
        }
    };
}

choice! {
    /// The access mode of the device.
    Access { Both = "rw", Read = "ro", Write = "wo" }
}
choice! {
    /// The data of a `pwrite`.
    Bytes { Blob = "blob", Zeros = "zeros", Shifted = "shifted" }
}
choice! {
    /// The reference point of a seek.
    Whence { Set = "SET", Current = "CUR", End = "END", Data = "DATA", Hole = "HOLE" }
}
choice! {
    /// An operation that the descriptor of an object does not support.
    Misuse { Read = "read", Map = "map", Sync = "sync", Poll = "poll" }
}
choice! {
    /// The events that a `watch` listens to.
    Watched { Open = "open", Bytes = "bytes" }
}
choice! {
    /// The kind of unmount.
    Unmount { Plain = "plain", Lazy = "lazy", Force = "force" }
}

impl Op {
    /// True if the operation can wait for the daemon; a task that sleeps in it counts as `blocked`.
    /// Other operations may sleep for disks or programs, and the executor waits for their end.
    pub fn may_block(&self) -> bool {
        use Op::{
            Deny, Hangup, Hold, Ls, Map, Mount, Permit, Pread, PreadInto, Remount, Send, Statfs,
            Times, Umount,
        };
        match self {
            Times { ops, .. } => ops.iter().any(Self::may_block),
            _ => matches!(
                self,
                Mount { .. }
                    | Umount { .. }
                    | Remount { .. }
                    | Statfs { .. }
                    | Pread { .. }
                    | PreadInto { .. }
                    | Send { .. }
                    | Map { .. }
                    | Hold { .. }
                    | Ls { .. }
                    | Hangup { .. }
                    | Permit
                    | Deny
            ),
        }
    }

    /// True if the operation writes `restore` to the device.
    pub fn restores(&self) -> bool {
        match self {
            Self::Times { ops, .. } => ops.iter().any(Self::restores),
            Self::Write { text, .. } => text == "restore",
            _ => false,
        }
    }

    /// Parses an operation.
    ///
    /// # Errors
    /// When the verb is unknown, or an argument is missing or invalid.
    pub fn parse(words: &mut Words) -> Result<Self> {
        let verb = words.verb().to_owned();
        Ok(match verb.as_str() {
            "open" => {
                let access = ["ro", "wo"].into_iter().find(|word| words.flag(word));
                Self::Open {
                    handle: words.maybe().unwrap_or_else(|| DEVICE.to_owned()),
                    access: Access::of(access.unwrap_or("rw"))?,
                }
            }
            "close" => Self::Close {
                handle: words.word("the handle")?,
            },
            "dup" => Self::Dup {
                handle: words.word("the handle")?,
                new: words.word("its new name")?,
            },
            "write" => Self::Write {
                handle: words.option("on").unwrap_or_else(|| DEVICE.to_owned()),
                pad: match words.option("pad") {
                    Some(length) => Some(length.parse().context("the length to pad to")?),
                    None => None,
                },
                text: words.word("the text")?,
            },
            "read" => Self::Read {
                ids: words.flag("ids"),
                name: words.option("as"),
                room: match words.maybe() {
                    Some(room) => room.parse().context("the room to read into")?,
                    None => ondined::protocol::MSG_MAX,
                },
            },
            "recv" => Self::Recv {
                ids: words.flag("ids"),
                name: words.option("as"),
                object: words.option("of"),
            },
            "read-nowhere" => Self::ReadNowhere,
            "poll" => Self::Poll,
            "edge" => Self::Edge,
            "snatch" => Self::Snatch,
            "bind" => Self::Bind,
            "copen" => Self::Copen {
                object: words.word("the object")?,
                answer: words.maybe(),
            },
            "pwrite" => {
                let bytes = ["zeros", "shifted"]
                    .into_iter()
                    .find(|word| words.flag(word));
                Self::Pwrite {
                    object: words.word("the object")?,
                    offset: words.number("the offset")?,
                    length: words.number("the length")?,
                    bytes: Bytes::of(bytes.unwrap_or("blob"))?,
                }
            }
            "put" => Self::Put {
                object: words.word("the object")?,
                length: words.number("the length")?,
            },
            "seek" => Self::Seek {
                handle: words.word("the handle")?,
                whence: Whence::of(&words.word("the whence")?)?,
                offset: words.number("the offset")?,
            },
            "complete" => Self::Complete {
                object: words.word("the object")?,
                id: words.maybe(),
            },
            "features" => Self::Features,
            "enable" => Self::Enable {
                bits: words.number("the extensions")?,
            },
            "fail" => Self::Fail {
                object: words.word("the object")?,
                errno: u32::try_from(words.number("the errno")?)?,
            },
            "ioctl" => Self::Ioctl {
                handle: words.word("the handle")?,
                command: words.number("the command")?,
                argument: words.number("the argument")?,
            },
            "misuse" => Self::Misuse {
                object: words.word("the object")?,
                what: Misuse::of(&words.word("the use")?)?,
            },
            "hangup" => Self::Hangup {
                object: words.word("the object")?,
            },
            "descriptor" => Self::Descriptor {
                object: words.word("the object")?,
            },
            _ => Self::parse_files(&verb, words)?,
        })
    }

    /// Parses each of the remaining words as an operation.
    fn each(words: &mut Words) -> Result<Vec<Self>> {
        let mut ops = Vec::new();
        while let Some(text) = words.maybe() {
            let mut words = Words::of(&text)?;
            ops.push(Self::parse(&mut words)?);
            words.end()?;
        }
        Ok(ops)
    }

    fn parse_files(verb: &str, words: &mut Words) -> Result<Self> {
        Ok(match verb {
            "mount" => Self::Mount {
                name: words.word("the name")?,
                options: words.word("the options")?,
            },
            "umount" => Self::Umount {
                name: words.word("the name")?,
                how: Unmount::of(words.maybe().as_deref().unwrap_or("plain"))?,
            },
            "remount" => Self::Remount {
                name: words.word("the name")?,
                options: words.word("the options")?,
            },
            "statfs" => Self::Statfs {
                name: words.word("the name")?,
            },
            "pread" => Self::Pread {
                random: words.flag("random"),
                path: words.word("the path")?,
                offset: words.number("the offset")?,
                length: words.number("the length")?,
            },
            "pread-into" => Self::PreadInto {
                path: words.word("the path")?,
                offset: words.number("the offset")?,
                length: words.number("the length")?,
                target: words.word("the target")?,
            },
            "send" => Self::Send {
                path: words.word("the path")?,
                offset: words.number("the offset")?,
                length: words.number("the length")?,
            },
            "map" => Self::Map {
                path: words.word("the path")?,
                offset: words.number("the offset")?,
            },
            "hold" => Self::Hold {
                path: words.word("the path")?,
            },
            "ls" => Self::Ls {
                path: words.word("the path")?,
            },
            "find" => Self::Find {
                path: words.word("the path")?,
            },
            "xattr" => Self::Xattr {
                path: words.word("the path")?,
                name: words.word("the name")?,
            },
            "watch" => Self::Watch {
                path: words.word("the path")?,
                what: Watched::of(&words.word("the events")?)?,
            },
            "permit" => Self::Permit,
            "deny" => Self::Deny,
            "sh" => Self::Sh {
                command: words.word("the command")?,
            },
            "chdir" => Self::Chdir {
                path: words.word("the path")?,
            },
            "become" => Self::Become {
                uid: u32::try_from(words.number("the user")?)?,
            },
            "nofile" => Self::Nofile {
                count: words.number("the count")?,
            },
            "catch" => Self::Catch,
            "times" => Self::Times {
                count: words.number("the count")?,
                ops: Self::each(words)?,
            },
            other => bail!("there is no operation {other:?}"),
        })
    }
}
