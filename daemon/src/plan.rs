// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Misbehaviour on command, for tests of the kernel side. A rule never makes the daemon write wrong
//! bytes or bytes in a wrong place: what it spoils are answers.
//!
//! A rule reads `KIND[#N|%P]:ACTION[=VALUE]`: on the N-th message of a kind, counted from 1, on P of
//! 100 of them by chance, or on all.

use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

mod text;

pub use text::RuleError;

/// The exit code of a daemon that a rule ended.
pub const DIED: i32 = 99;

/// What to do wrong, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides the rules with a chance.
    #[serde(default)]
    pub seed: u64,
    /// All rules that a message meets apply to it.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// The messages that it is about.
    pub kind: Kind,
    /// Which of them.
    pub when: When,
    /// What happens then.
    pub action: Action,
}

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OPEN.
    Open,
    /// CLOSE.
    Close,
    /// READ.
    Read,
}

/// Which messages of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// All.
    Always,
    /// This one, counted from 1.
    Nth(u64),
    /// Each with this chance, in percent.
    Percent(f64),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `late=MS`: the answer waits this long; bytes are written before.
    Late(Duration),
    /// `twice`: the answer is given again.
    Twice,
    /// `wrong-id`: an answer to a request that does not exist comes before the right one.
    WrongId,
    /// `wrong-object`: the READ is completed on every other object before on its own.
    WrongObject,
    /// `short=BYTES`: no more than these first bytes of the range are written.
    Short(u64),
    /// `empty`: a READ is completed without a byte.
    Empty,
    /// `never`: there is no answer; bytes are written.
    Never,
    /// `close-early`: the object's descriptor is closed before the answer; a READ then has none.
    CloseEarly,
    /// `refuse=ERRNO`: an OPEN is answered with this error, a number from 1 to 4095.
    Refuse(Errno),
    /// `die=STEP`: the process exits with [`DIED`] at this step.
    Die(Step),
}

/// A moment in the service of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `received`: nothing was done yet.
    Received,
    /// `before-write`: bytes were fetched.
    BeforeWrite,
    /// `after-write`: the first piece was written.
    AfterWrite,
    /// `before-answer`: all was written.
    BeforeAnswer,
    /// `after-answer`: the kernel has its answer.
    AfterAnswer,
}

/// What the rules say of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behaviour(Vec<Action>);

/// A plan on its way: it counts the messages.
#[derive(Debug)]
pub(crate) struct Course {
    rules: Vec<(Rule, fastrand::Rng)>,
    counts: [u64; 3],
}

impl Plan {
    pub(crate) fn course(&self) -> Course {
        let mut seeds = fastrand::Rng::with_seed(self.seed);
        Course {
            rules: self.rules.iter().map(|r| (*r, seeds.fork())).collect(),
            counts: [0; 3],
        }
    }
}

impl Course {
    /// What to do about the next message of this kind.
    pub(crate) fn next(&mut self, kind: Kind) -> Behaviour {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        let met = |(rule, random): &mut (Rule, fastrand::Rng)| {
            let now = rule.kind == kind
                && match rule.when {
                    When::Always => true,
                    When::Nth(n) => n == *count,
                    When::Percent(percent) => random.f64() * 100.0 < percent,
                };
            now.then_some(rule.action)
        };
        Behaviour(self.rules.iter_mut().filter_map(met).collect())
    }
}

impl Behaviour {
    pub(crate) fn is_good(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, action: Action) -> bool {
        self.0.contains(&action)
    }

    pub(crate) fn late(&self) -> Duration {
        let late = |action: &Action| match action {
            Action::Late(time) => Some(*time),
            _ => None,
        };
        self.0.iter().filter_map(late).sum()
    }

    /// Bytes of a READ that are written at most.
    pub(crate) fn limit(&self) -> u64 {
        let limit = |action: &Action| match action {
            Action::Short(bytes) => Some(*bytes),
            Action::Empty => Some(0),
            _ => None,
        };
        self.0.iter().filter_map(limit).min().unwrap_or(u64::MAX)
    }

    pub(crate) fn refusal(&self) -> Option<Errno> {
        self.0.iter().find_map(|action| match action {
            Action::Refuse(errno) => Some(*errno),
            _ => None,
        })
    }

    /// Ends the process if a rule says so.
    pub(crate) fn reach(&self, step: Step) {
        if self.has(Action::Die(step)) {
            tracing::warn!("dying at {step:?}, as told");
            std::process::exit(DIED);
        }
    }
}

#[cfg(test)]
mod tests;
