// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Injected faults of the daemon, for tests of the kernel's side.
//!
//! A rule has the form `KIND[#N|%P]:ACTION[=VALUE]`. It applies to the N-th message of a kind, counted
//! from 1, to P percent of them at random, or to all. Rules spoil answers only: they never make the
//! daemon write wrong bytes, or bytes to a wrong place.
//!
//! | type | stands for |
//! | --- | --- |
//! | [`Plan`] | the rules of one session |
//! | [`Rule`] | one rule: messages of a [`MessageKind`] at an [`Occurrence`] get an [`Action`] |
//! | [`ServiceStep`] | a point in the service of a message, at which a rule can end the daemon |

use std::time::Duration;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

mod text;

pub use text::RuleError;

/// Exit code of a daemon that a rule ended.
pub const DIED: i32 = 99;

/// The rules of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of the rules with a probability.
    #[serde(default)]
    pub seed: u64,
    /// Rules; all that match a message apply to it.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// Kind of the messages that it applies to.
    pub kind: MessageKind,
    /// Messages of this kind that it applies to.
    pub occurrence: Occurrence,
    /// The fault.
    pub action: Action,
}

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// OPEN.
    Open,
    /// CLOSE.
    Close,
    /// READ.
    Read,
}

/// A choice among the messages of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Occurrence {
    /// All.
    Always,
    /// The one with this number, counted from 1.
    Nth(u64),
    /// Each with this probability, in percent.
    Percent(f64),
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `late=MS`: delays the answer, after the bytes were written.
    Late(Duration),
    /// `twice`: answers twice.
    Twice,
    /// `wrong-id`: answers a request that does not exist, then the right one.
    WrongId,
    /// `wrong-object`: completes a READ on every other object, then on its own.
    WrongObject,
    /// `short=BYTES`: writes only the first bytes of a READ.
    Short(u64),
    /// `empty`: completes a READ without writing.
    Empty,
    /// `never`: writes the bytes of a READ, and does not answer.
    Never,
    /// `close-early`: closes the object's descriptor before the answer. A READ is not answered.
    CloseEarly,
    /// `refuse=ERRNO`: answers an OPEN with this error, a number from 1 to 4095.
    Refuse(Errno),
    /// `die=STEP`: exits with [`DIED`] at this step.
    Die(ServiceStep),
}

/// A point in the service of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStep {
    /// `received`: before anything was done.
    Received,
    /// `before-write`: after the bytes were fetched.
    BeforeWrite,
    /// `after-write`: after the first bytes were written.
    AfterWrite,
    /// `before-answer`: after all bytes of a READ were written.
    BeforeAnswer,
    /// `after-answer`: after the kernel got the answer.
    AfterAnswer,
}

/// The actions that apply to one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Actions(Vec<Action>);

/// Chooses the actions for each message of a session, in order of arrival.
#[derive(Debug)]
pub(crate) struct RuleMatcher {
    rules: Vec<(Rule, fastrand::Rng)>,
    /// Messages so far, by kind.
    counts: [u64; 3],
}

impl Plan {
    /// A matcher that has seen no message yet. Matchers of the same plan choose alike.
    pub(crate) fn matcher(&self) -> RuleMatcher {
        let mut seeds = fastrand::Rng::with_seed(self.seed);
        RuleMatcher {
            rules: self.rules.iter().map(|r| (*r, seeds.fork())).collect(),
            counts: [0; 3],
        }
    }
}

impl RuleMatcher {
    /// Counts a message of this kind and returns the actions that apply to it.
    pub(crate) fn next(&mut self, kind: MessageKind) -> Actions {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        let matching = |(rule, random): &mut (Rule, fastrand::Rng)| {
            let applies = rule.kind == kind
                && match rule.occurrence {
                    Occurrence::Always => true,
                    Occurrence::Nth(n) => n == *count,
                    Occurrence::Percent(percent) => random.f64() * 100.0 < percent,
                };
            applies.then_some(rule.action)
        };
        Actions(self.rules.iter_mut().filter_map(matching).collect())
    }
}

impl Actions {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, action: Action) -> bool {
        self.0.contains(&action)
    }

    /// Delay of the answer.
    pub(crate) fn delay(&self) -> Duration {
        let delay = |action: &Action| match action {
            Action::Late(time) => Some(*time),
            _ => None,
        };
        self.0.iter().filter_map(delay).sum()
    }

    /// Maximum number of bytes to write for a READ.
    pub(crate) fn write_limit(&self) -> u64 {
        let limit = |action: &Action| match action {
            Action::Short(bytes) => Some(*bytes),
            Action::Empty => Some(0),
            _ => None,
        };
        self.0.iter().filter_map(limit).min().unwrap_or(u64::MAX)
    }

    /// Errno to refuse an OPEN with.
    pub(crate) fn refusal(&self) -> Option<Errno> {
        self.0.iter().find_map(|action| match action {
            Action::Refuse(errno) => Some(*errno),
            _ => None,
        })
    }

    /// Exits if the process is to die at this step.
    pub(crate) fn reach(&self, step: ServiceStep) {
        if self.has(Action::Die(step)) {
            tracing::warn!("exiting at the step {step}, as a rule of --misbehave demands");
            std::process::exit(DIED);
        }
    }
}

#[cfg(test)]
mod tests;
