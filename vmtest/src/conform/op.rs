// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What an actor of a scenario can do: raw, single operations, each with one result.

use anyhow::{bail, Context, Result};
use serde::{Deserialize, Serialize};

use super::words::Words;

/// The handle of the device unless a step names another one.
pub(crate) const DEVICE: &str = "dev";

/// One operation. A handle is the name of a descriptor: of the device, or of an object, which is
/// called by its cookie key. Numbers are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Op {
    /// `open [HANDLE] [ro|wo]`: opens the device.
    Open { handle: String, access: Access },
    /// `close HANDLE`.
    Close { handle: String },
    /// `dup HANDLE NEW`.
    Dup { handle: String, new: String },
    /// `write TEXT [on HANDLE] [pad LENGTH]`: one write(2). `{boot}` stands for the id of the last
    /// OPEN of `boot`, `{boot.read}` for its last READ's, `{x}` for what `recv as x` got; the text
    /// is padded behind a newline.
    Write {
        text: String,
        handle: String,
        pad: Option<usize>,
    },
    /// `read [LENGTH] [ids] [as NAME]`: one read(2), which never waits.
    Read {
        room: usize,
        ids: bool,
        name: Option<String>,
    },
    /// `recv [ids] [as NAME] [of OBJECT]`: the next message (of this object: others are kept for a
    /// later one), waited for.
    Recv {
        ids: bool,
        name: Option<String>,
        object: Option<String>,
    },
    /// `read-nowhere`: read(2) into an address that is not there.
    ReadNowhere,
    /// `poll`: what poll(2) says now.
    Poll,
    /// `edge`: what an edge-triggered epoll says now, which is watched from the first call on.
    Edge,
    /// `bind`: open, dir, and bind on demand with the scenario's cache; all of it must succeed.
    Bind,
    /// `copen OBJECT [ANSWER]`: answers its last OPEN with this text, the size of its blob unless
    /// told.
    Copen {
        object: String,
        answer: Option<String>,
    },
    /// `pwrite OBJECT OFFSET LENGTH [zeros|shifted]`: the blob's bytes, or zeros, or from an
    /// address that direct I/O cannot take.
    Pwrite {
        object: String,
        offset: u64,
        length: u64,
        bytes: Bytes,
    },
    /// `put OBJECT LENGTH`: write(2) of the blob's first bytes, where the descriptor stands.
    Put { object: String, length: u64 },
    /// `seek HANDLE SET|CUR|END|DATA|HOLE OFFSET`.
    Seek {
        handle: String,
        whence: Whence,
        offset: u64,
    },
    /// `complete OBJECT [ID]`: READ_COMPLETE of its last READ, or of the message with this name or
    /// number.
    Complete { object: String, id: Option<String> },
    /// `features`: the extensions that the device offers, as a number.
    Features,
    /// `enable BITS`: switches extensions on.
    Enable { bits: u64 },
    /// `fail OBJECT ERRNO`: answers its last READ with the errno of this number.
    Fail { object: String, errno: u32 },
    /// `ioctl HANDLE COMMAND ARGUMENT`.
    Ioctl {
        handle: String,
        command: u64,
        argument: u64,
    },
    /// `misuse OBJECT read|map|sync|poll`: what the descriptor does not provide.
    Misuse { object: String, what: Misuse },
    /// `descriptor OBJECT`: its name, access and whether it was inheritable when it came.
    Descriptor { object: String },
    /// `mount NAME OPTIONS`: read-only, of the driver under test.
    Mount { name: String, options: String },
    /// `umount NAME [lazy|force]`.
    Umount { name: String, how: Unmount },
    /// `remount NAME OPTIONS`.
    Remount { name: String, options: String },
    /// `statfs NAME`: whether it ends, and the block size.
    Statfs { name: String },
    /// `pread PATH OFFSET LENGTH [random]`: compared with the tree that the images hold; `random`
    /// makes it one READ of exactly these pages.
    Pread {
        path: String,
        offset: u64,
        length: u64,
        random: bool,
    },
    /// `send PATH OFFSET LENGTH`: the same by sendfile(2), through the inode's own page cache.
    Send {
        path: String,
        offset: u64,
        length: u64,
    },
    /// `map PATH OFFSET`: a page fault.
    Map { path: String, offset: u64 },
    /// `hold PATH`: opens it and keeps it open: the actor's further `pread`s go through this file.
    Hold { path: String },
    /// `ls PATH`: the names in it.
    Ls { path: String },
    /// `find PATH`: files below this path of the cache, with their sizes.
    Find { path: String },
    /// `xattr PATH NAME`: of the cache, in hexadecimal.
    Xattr { path: String, name: String },
    /// `sh COMMAND`: `$cache`, `$blobs`, `$device`, `$drive`, `$mnt` and `$fs` are set.
    Sh { command: String },
    /// `chdir PATH`: below the cache.
    Chdir { path: String },
    /// `become UID`: gives up root.
    Become { uid: u32 },
    /// `nofile COUNT`: the soft limit of descriptors.
    Nofile { count: u64 },
    /// `catch`: handles SIGUSR1, so that it interrupts without killing.
    Catch,
    /// `times COUNT OPERATION...`: these operations, a word each, one after another and so many times; their
    /// results, each once, sorted.
    Times { count: u64, ops: Vec<Op> },
    /// `snatch`: one read(2) of an OPEN, whose descriptor a thread of the same process closes as soon as it
    /// is there.
    Snatch,
    /// A turn of a daemon: answers what is there, waits a moment when nothing is. A starving one
    /// completes every READ without its data. Made by the executor for `serve`, `starve`, `drain`.
    Turn { starving: bool },
    /// The number of a descriptor and what it is an object of. Made by the executor for `take`.
    Number { handle: String },
    /// A copy of another process' descriptor. Made by the executor for `take`.
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
        pub(crate) enum $name { $($(#[$mark])* $variant),+ }

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
    /// How the device is opened.
    Access { Both = "rw", Read = "ro", Write = "wo" }
}
choice! {
    /// What is written.
    Bytes { Blob = "blob", Zeros = "zeros", Shifted = "shifted" }
}
choice! {
    /// From where an offset counts.
    Whence { Set = "SET", Current = "CUR", End = "END", Data = "DATA", Hole = "HOLE" }
}
choice! {
    /// What a descriptor of an object does not provide.
    Misuse { Read = "read", Map = "map", Sync = "sync", Poll = "poll" }
}
choice! {
    /// How to unmount.
    Unmount { Plain = "plain", Lazy = "lazy", Force = "force" }
}

impl Op {
    /// Whether it can be waiting for the daemon: then a task that sleeps is `blocked`. The others
    /// may sleep for disks and programs, and are waited for.
    pub(crate) fn may_block(&self) -> bool {
        use Op::{Hold, Ls, Map, Mount, Pread, Remount, Send, Statfs, Times, Umount};
        match self {
            Times { ops, .. } => ops.iter().any(Self::may_block),
            _ => matches!(
                self,
                Mount { .. }
                    | Umount { .. }
                    | Remount { .. }
                    | Statfs { .. }
                    | Pread { .. }
                    | Send { .. }
                    | Map { .. }
                    | Hold { .. }
                    | Ls { .. }
            ),
        }
    }

    /// The operation that these words name.
    ///
    /// # Errors
    /// When they name none.
    pub(super) fn parse(words: &mut Words) -> Result<Self> {
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
            "descriptor" => Self::Descriptor {
                object: words.word("the object")?,
            },
            _ => Self::parse_files(&verb, words)?,
        })
    }

    /// The operations that the words left are, one each.
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
