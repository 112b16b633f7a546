// SPDX-License-Identifier: GPL-2.0

//! Commands that the daemon writes to the device, one in each write.
//!
//! Parsing finds the errors that are in the text itself; the device finds those that
//! depend on the state of the cache.
//!
//! Source: docs/spec/cachefiles-ondemand.md section 2.

use crate::limits::{Resource, Threshold};
use crate::{number, Errno};

/// Longest text of a write, in bytes: one less than a page.
pub const TEXT_MAX: usize = 4095;

/// A command, with its argument checked as far as the text allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// `dir`: the cache's root. Not empty.
    Dir(&'a [u8]),
    /// `tag`: the cache's name. Not empty.
    Tag(&'a [u8]),
    /// `secctx`: the security context of the cache. Not empty.
    Secctx(&'a [u8]),
    /// `frun`, `fcull`, `fstop`, `brun`, `bcull`, `bstop`: a threshold.
    Limit {
        /// The resource.
        resource: Resource,
        /// The threshold of the resource.
        threshold: Threshold,
        /// The new value in per cent, which [`Limits`](crate::Limits) checks.
        percent: u8,
    },
    /// `bind`: start a session. `None` stands for an unknown argument: EINVAL, but
    /// after the checks for a missing directory (EINVAL) and a bound cache (EBUSY).
    Bind(Option<Mode>),
    /// `cull`: remove this name of the caller's directory. No `/` in it.
    Cull(&'a [u8]),
    /// `inuse`: test whether this name of the caller's directory is in use. No `/`
    /// in it.
    InUse(&'a [u8]),
    /// `debug`: a mask of events to trace.
    Debug(u64),
    /// `copen`: the answer to an OPEN (docs/spec/cachefiles-ondemand.md section 5.1).
    Copen {
        /// The request's msg_id.
        msg_id: u32,
        /// The answer.
        answer: Answer,
    },
    /// `restore`: queue every pending request again.
    Restore,
}

/// The use of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `bind`: network file systems cache what they have read.
    Cache,
    /// `bind ondemand`: the daemon fills files when they are read.
    OnDemand,
}

/// The daemon's answer to an OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The object has this size in bytes, below 2^63.
    Size(u64),
    /// There is no such object, or the daemon failed. The write succeeds, and the
    /// waiters get this errno.
    Refused(Errno),
    /// The answer is invalid. The write and the waiters get this errno, EINVAL or
    /// ERANGE.
    Bad(Errno),
}

impl<'a> Command<'a> {
    /// Parses the text of one write.
    ///
    /// # Errors
    ///
    /// [`Errno::EOPNOTSUPP`] for a text that is too long, empty, or does not
    /// begin with the word of a command; [`Errno::EINVAL`] for a NUL anywhere, a
    /// newline in front or an argument that does not fit its command;
    /// [`Errno::ERANGE`] for the id of a `copen` that no number can hold.
    pub fn parse(text: &'a [u8]) -> Result<Self, Errno> {
        if text.len() > TEXT_MAX {
            return Err(Errno::EOPNOTSUPP);
        }
        if text.contains(&0) || text.first() == Some(&b'\n') {
            return Err(Errno::EINVAL);
        }
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or(text);
        let end = line.iter().position(|byte| is_space(*byte));
        // Any number of spaces separates the word from its argument.
        let (word, argument) = line
            .split_at_checked(end.unwrap_or(line.len()))
            .unwrap_or((line, &[]));
        let argument = skip_spaces(argument);

        match word {
            b"dir" => some(argument).map(Command::Dir),
            b"tag" => some(argument).map(Command::Tag),
            b"secctx" => some(argument).map(Command::Secctx),
            b"frun" => limit(Resource::Files, Threshold::Run, argument),
            b"fcull" => limit(Resource::Files, Threshold::Cull, argument),
            b"fstop" => limit(Resource::Files, Threshold::Stop, argument),
            b"brun" => limit(Resource::Blocks, Threshold::Run, argument),
            b"bcull" => limit(Resource::Blocks, Threshold::Cull, argument),
            b"bstop" => limit(Resource::Blocks, Threshold::Stop, argument),
            b"bind" => Ok(Command::Bind(match argument {
                b"" => Some(Mode::Cache),
                b"ondemand" => Some(Mode::OnDemand),
                _ => None,
            })),
            b"cull" => name(argument).map(Command::Cull),
            b"inuse" => name(argument).map(Command::InUse),
            b"debug" => number::unsigned(argument)
                .map(Command::Debug)
                .map_err(|_| Errno::EINVAL),
            b"copen" => copen(argument),
            b"restore" => Ok(Command::Restore),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// White space as the kernel's `isspace` has it, Latin-1's no-break space too.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

fn skip_spaces(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_space(*first) {
            break;
        }
        text = rest;
    }
    text
}

/// An argument that has to be there.
fn some(argument: &[u8]) -> Result<&[u8], Errno> {
    match argument {
        [] => Err(Errno::EINVAL),
        _ => Ok(argument),
    }
}

/// A name in a directory.
fn name(argument: &[u8]) -> Result<&[u8], Errno> {
    match argument.contains(&b'/') {
        true => Err(Errno::EINVAL),
        false => Ok(argument),
    }
}

/// `N%`.
fn limit(resource: Resource, threshold: Threshold, argument: &[u8]) -> Result<Command<'_>, Errno> {
    let digits = argument.strip_suffix(b"%").ok_or(Errno::EINVAL)?;
    let percent = number::decimal(digits).map_err(|_| Errno::EINVAL)?;
    Ok(Command::Limit {
        resource,
        threshold,
        percent: u8::try_from(percent).map_err(|_| Errno::EINVAL)?,
    })
}

/// `msg_id,size`, or a negative errno for a size.
fn copen(argument: &[u8]) -> Result<Command<'_>, Errno> {
    let comma = argument.iter().position(|byte| *byte == b',');
    let (id, rest) = comma
        .and_then(|at| argument.split_at_checked(at))
        .ok_or(Errno::EINVAL)?;
    // No request has an id that is wider than a message can say.
    let msg_id = u32::try_from(number::unsigned(id)?).map_err(|_| Errno::EINVAL)?;
    let size = number::signed(rest.strip_prefix(b",").unwrap_or(rest));
    Ok(Command::Copen {
        msg_id,
        answer: size.map_or_else(Answer::Bad, Answer::of),
    })
}

impl Answer {
    /// The answer for a size, or for an errno in its place.
    fn of(size: i64) -> Self {
        if let Ok(size) = u64::try_from(size) {
            return Answer::Size(size);
        }
        i32::try_from(size.saturating_neg())
            .ok()
            .and_then(Errno::from_number)
            .map_or(Answer::Bad(Errno::EINVAL), Answer::Refused)
    }
}
