// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The steps of a scenario, one per line: `[ACTOR:] OPERATION [-> RESULT]`.
//!
//! An actor is a process with descriptors of its own; the default is the daemon. The result of an
//! operation that waits for the daemon is `blocked`; `ACTOR: wait` gives its later result. An operation
//! that ends in `&` is not waited for; its result is `started`.

use anyhow::{bail, ensure, Context, Result};
use serde::{Deserialize, Serialize};

use super::lexer::Words;
use super::op::Op;

/// The default actor.
pub const DAEMON: &str = "daemon";

/// The result of an operation whose task sleeps and waits for the daemon.
pub const BLOCKED: &str = "blocked";

/// The result of an operation that is not waited for.
pub const STARTED: &str = "started";

/// The result of an operation that succeeds without a value. The default expectation.
pub const OK: &str = "ok";

/// A step of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The line without its result.
    pub line: String,
    /// The name of the actor.
    pub actor: String,
    /// The action of the step.
    pub deed: Action,
    /// The expected result.
    pub expected: String,
}

/// The action of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// An operation of the actor.
    Do(Op),
    /// `wait`: the result of the actor's blocked or started operation.
    Wait,
    /// `kill [SIGNAL]`: sends a signal to the actor. The result tells whether the actor ended.
    Kill(Signal),
    /// An operation of the actor that is not waited for.
    Start(Op),
    /// `serve ACTOR`: answers every message until that actor's operation has ended; the result is the
    /// operation's. `starve ACTOR` does the same but never writes data.
    Serve {
        /// The actor with the operation.
        actor: String,
        /// True if READs are completed without data.
        starving: bool,
    },
    /// `quiet`: waits until the kernel's background work is done.
    Quiet,
    /// `drain`: answers every message until none is left. The result lists the messages.
    Drain,
    /// `take ACTOR HANDLE`: copies another actor's descriptor, as SCM_RIGHTS would.
    Take {
        /// The actor that has the descriptor.
        from: String,
        /// The name of the descriptor.
        handle: String,
    },
}

/// A signal for an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGKILL.
    Kill,
    /// SIGINT.
    Interrupt,
    /// SIGUSR1.
    User,
}

impl Step {
    /// Parses the text of a scenario. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// When a line cannot be parsed (the message has the line), or there is no step.
    pub fn all(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let steps: Vec<Self> = lines
            .map(|line| Self::one(line).with_context(|| format!("the step {line:?}")))
            .collect::<Result<_>>()?;
        ensure!(!steps.is_empty(), "the scenario has no steps");
        Ok(steps)
    }

    /// True if the step writes `restore` to the device.
    pub fn restores(&self) -> bool {
        match &self.deed {
            Action::Do(op) | Action::Start(op) => op.restores(),
            _ => false,
        }
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
            "wait" => Action::Wait,
            "drain" => Action::Drain,
            "quiet" => Action::Quiet,
            "kill" => Action::Kill(match words.maybe().as_deref() {
                None | Some("KILL") => Signal::Kill,
                Some("INT") => Signal::Interrupt,
                Some("USR1") => Signal::User,
                Some(other) => bail!("the signal {other:?}"),
            }),
            "serve" | "starve" => Action::Serve {
                starving: verb == "starve",
                actor: words.word("the actor")?,
            },
            "take" => Action::Take {
                from: words.word("the actor")?,
                handle: words.word("the handle")?,
            },
            _ if started => Action::Start(Op::parse(&mut words)?),
            _ => Action::Do(Op::parse(&mut words)?),
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
        assert_eq!(step.deed, Action::Do(op));
    }

    #[test]
    fn what_a_line_leaves_out() {
        let step = one("open");
        assert_eq!((step.actor.as_str(), step.expected.as_str()), (DAEMON, OK));
        let op = Op::Open {
            handle: "dev".to_owned(),
            access: Access::Both,
        };
        assert_eq!(step.deed, Action::Do(op));
        let Action::Do(Op::Pwrite { bytes, .. }) = one("pwrite data1 0 4096").deed else {
            panic!("no pwrite");
        };
        assert_eq!(bytes, Bytes::Blob);
    }

    #[test]
    fn what_is_done_many_times_is_a_word_each() {
        let Action::Start(op) = one(r#"times 2 "times 3 poll" "write restore" & -> started"#).deed
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
        assert!(op.restores());
        assert!(one("b: write \"restore\"").restores() && !one("poll").restores());
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
