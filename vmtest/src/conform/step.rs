// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The steps of a scenario: a line for each, `[ACTOR:] OPERATION [-> RESULT]`.
//!
//! An actor is a process with descriptors of its own; the usual one is the daemon. An operation
//! that does not come back is `blocked`, and `ACTOR: wait` looks again; one that ends in `&` is only
//! `started`.

use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

use super::op::Op;
use super::words::Words;

/// Who acts when a step does not say.
pub(crate) const DAEMON: &str = "daemon";

/// The result of an operation that is still under way, its task asleep.
pub(crate) const BLOCKED: &str = "blocked";

/// The result of an operation that is not waited for.
pub(crate) const STARTED: &str = "started";

/// The result of what succeeds and has nothing to tell; due when a step says nothing.
pub(crate) const OK: &str = "ok";

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The line without its result.
    pub(crate) line: String,
    /// Who acts.
    pub(crate) actor: String,
    /// What is done.
    pub(crate) deed: Deed,
    /// What must come of it.
    pub(crate) expected: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// The actor's operation.
    Does(Op),
    /// `wait`: what became of the actor's operation.
    Wait,
    /// `kill [SIGNAL]`: whether the actor is gone.
    Kill(Signal),
    /// The same, not waited for.
    Starts(Op),
    /// `serve ACTOR`: answers every message until that actor's operation has ended, and says how.
    /// `starve ACTOR` does so without ever writing data.
    Serve { whom: String, starving: bool },
    /// `quiet`: waits until the kernel has nothing more to do by itself.
    Quiet,
    /// `drain`: answers every message until none comes; which they were.
    Drain,
    /// `take ACTOR HANDLE`: a copy of another actor's descriptor, as over a socket.
    Take {
        /// Whose.
        from: String,
        /// Which.
        handle: String,
    },
}

/// What an actor is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Signal {
    Kill,
    Interrupt,
    User,
}

impl Step {
    /// The steps of a scenario's text; `#` begins a remark, as does an empty line.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub(super) fn all(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let steps: Vec<Self> = lines
            .map(|line| Self::one(line).with_context(|| format!("the step {line:?}")))
            .collect::<Result<_>>()?;
        ensure!(!steps.is_empty(), "no steps");
        Ok(steps)
    }

    fn one(line: &str) -> Result<Self> {
        let (act, expected) = match line.rsplit_once("->") {
            Some((act, expected)) => (act.trim(), expected.trim()),
            None => (line, OK),
        };
        ensure!(!expected.is_empty(), "no result behind the arrow");
        let (actor, text) = match act.split_once(": ") {
            Some((actor, text)) if !actor.contains(char::is_whitespace) => (actor, text),
            _ => (DAEMON, act),
        };
        let mut words = Words::of(text)?;
        let started = words.flag("&");
        let verb = words.verb().to_owned();
        let deed = match verb.as_str() {
            "wait" => Deed::Wait,
            "drain" => Deed::Drain,
            "quiet" => Deed::Quiet,
            "kill" => Deed::Kill(match words.maybe().as_deref() {
                None | Some("KILL") => Signal::Kill,
                Some("INT") => Signal::Interrupt,
                Some("USR1") => Signal::User,
                Some(other) => bail!("the signal {other:?}"),
            }),
            "serve" | "starve" => Deed::Serve {
                starving: verb == "starve",
                whom: words.word("the actor")?,
            },
            "take" => Deed::Take {
                from: words.word("the actor")?,
                handle: words.word("the handle")?,
            },
            _ if started => Deed::Starts(Op::parse(&mut words)?),
            _ => Deed::Does(Op::parse(&mut words)?),
        };
        words.end()?;
        Ok(Self {
            line: act.split_whitespace().collect::<Vec<_>>().join(" "),
            actor: actor.to_owned(),
            deed,
            expected: expected.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::op::{Access, Bytes};

    fn one(line: &str) -> Step {
        Step::one(line).unwrap_or_else(|error| panic!("{line}: {error:#}"))
    }

    #[test]
    fn a_line_has_an_actor_an_operation_and_a_result() {
        let step = one("r:  pread m/one 0 4K random   -> blocked");
        assert_eq!(
            (step.actor.as_str(), step.expected.as_str()),
            ("r", BLOCKED)
        );
        assert_eq!(step.line, "r: pread m/one 0 4K random");
        let op = Op::Pread {
            path: "m/one".to_owned(),
            offset: 0,
            length: 4096,
            random: true,
        };
        assert_eq!(step.deed, Deed::Does(op));
    }

    #[test]
    fn what_a_line_leaves_out() {
        let step = one("open");
        assert_eq!((step.actor.as_str(), step.expected.as_str()), (DAEMON, OK));
        let op = Op::Open {
            handle: "dev".to_owned(),
            access: Access::Both,
        };
        assert_eq!(step.deed, Deed::Does(op));
        let Deed::Does(Op::Pwrite { bytes, .. }) = one("pwrite data1 0 4096").deed else {
            panic!("no pwrite");
        };
        assert_eq!(bytes, Bytes::Blob);
    }

    #[test]
    fn what_is_done_many_times_is_a_word_each() {
        let Deed::Starts(op) = one(r#"times 2 "times 3 poll" "write restore" & -> started"#).deed
        else {
            panic!("it is waited for");
        };
        let poll = Op::Times {
            count: 3,
            ops: vec![Op::Poll],
        };
        assert!(
            matches!(&op, Op::Times { count: 2, ops } if ops[0] == poll && ops.len() == 2),
            "{op:?}"
        );
        assert!(!op.may_block());
        assert!(Step::one(r#"times 2 "opne""#).is_err());
    }

    #[test]
    fn a_colon_in_a_text_is_no_actor() {
        let step = one(r#"write "dir /a: b -> c" -> EINVAL"#);
        assert_eq!(step.actor, DAEMON);
        assert_eq!(step.expected, "EINVAL");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (line, said) in [
            ("opne", "there is no operation \"opne\""),
            ("seek boot AFTER 0", "is none of SET, CUR, END, DATA, HOLE"),
            ("r: wait now", "\"now\" is one word too many"),
            ("poll ->", "no result behind the arrow"),
            ("kill HUP", "the signal \"HUP\""),
        ] {
            let error = format!("{:#}", Step::all(&format!("open\n{line}")).unwrap_err());
            assert!(error.contains(line) && error.contains(said), "{error}");
        }
        assert!(Step::all("\n # nothing\n").is_err());
    }
}
