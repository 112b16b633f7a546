// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Rules as text: parsed from, and formatted as, `KIND[#N|%P]:ACTION[=VALUE]`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use super::{Action, Actions, MessageKind, Occurrence, Rule, ServiceStep};

/// A text that is not a valid rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// The text does not have the form of a rule.
    #[error("the rule {0:?} is not KIND[#N|%P]:ACTION[=VALUE], as in read#3:late=50")]
    Form(String),
    /// The kind is unknown.
    #[error("{0:?} is not a kind of message; use open, close or read")]
    Kind(String),
    /// The occurrence is out of range or malformed.
    #[error("{0:?} selects no messages; use #N with N from 1, or %P with P from 0 to 100")]
    Occurrence(String),
    /// The action is unknown, or does not exist for this kind.
    #[error("{1:?} is not an action for {0} messages; see ondined serve --help")]
    Action(MessageKind, String),
    /// The value of the action is missing, malformed or out of range.
    #[error("{1:?} is not a valid value of {0}; see ondined serve --help")]
    Value(String, String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (selector, action) = text
            .split_once(':')
            .ok_or_else(|| RuleError::Form(text.to_owned()))?;
        let (kind, occurrence) = match selector.find(['#', '%']) {
            Some(at) => selector.split_at(at),
            None => (selector, ""),
        };
        let kind = match kind {
            "open" => MessageKind::Open,
            "close" => MessageKind::Close,
            "read" => MessageKind::Read,
            _ => return Err(RuleError::Kind(kind.to_owned())),
        };
        Ok(Self {
            kind,
            occurrence: occurrence.parse()?,
            action: Action::parse(kind, action)?,
        })
    }
}

impl FromStr for Occurrence {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let occurrence = if let Some(count) = text.strip_prefix('#') {
            count.parse().ok().filter(|n| *n > 0).map(Self::Nth)
        } else if let Some(percent) = text.strip_prefix('%') {
            let percent = percent.parse().ok();
            percent
                .filter(|p| (0.0..=100.0).contains(p))
                .map(Self::Percent)
        } else {
            Some(Self::Always)
        };
        occurrence.ok_or_else(|| RuleError::Occurrence(text.to_owned()))
    }
}

impl Action {
    fn parse(kind: MessageKind, text: &str) -> Result<Self, RuleError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let number = value.and_then(|value| value.parse::<u64>().ok());
        let action = match (kind, name) {
            (_, "die") => value
                .and_then(ServiceStep::parse)
                .filter(|step| step.is_of(kind))
                .map(Self::Die),
            (MessageKind::Open | MessageKind::Read, "late") => {
                number.map(|ms| Self::Late(Duration::from_millis(ms)))
            }
            (MessageKind::Open | MessageKind::Read, "twice") => {
                value.is_none().then_some(Self::Twice)
            }
            (MessageKind::Open | MessageKind::Read, "wrong-id") => {
                value.is_none().then_some(Self::WrongId)
            }
            (MessageKind::Open | MessageKind::Read, "never") => {
                value.is_none().then_some(Self::Never)
            }
            (MessageKind::Open | MessageKind::Read, "close-early") => {
                value.is_none().then_some(Self::CloseEarly)
            }
            (MessageKind::Read, "wrong-object") => value.is_none().then_some(Self::WrongObject),
            (MessageKind::Read, "empty") => value.is_none().then_some(Self::Empty),
            (MessageKind::Read, "short") => number.map(Self::Short),
            (MessageKind::Open, "refuse") => number
                .filter(|errno| (1..=4095).contains(errno))
                .map(|errno| Self::Refuse(Errno::from_raw_os_error(errno as i32))),
            _ => return Err(RuleError::Action(kind, name.to_owned())),
        };
        action.ok_or_else(|| RuleError::Value(name.to_owned(), value.unwrap_or("").to_owned()))
    }
}

/// Names of the steps in rules.
const STEPS: [(&str, ServiceStep); 5] = [
    ("received", ServiceStep::Received),
    ("before-write", ServiceStep::BeforeWrite),
    ("after-write", ServiceStep::AfterWrite),
    ("before-answer", ServiceStep::BeforeAnswer),
    ("after-answer", ServiceStep::AfterAnswer),
];

impl ServiceStep {
    fn parse(text: &str) -> Option<Self> {
        STEPS.iter().find(|(name, _)| *name == text).map(|s| s.1)
    }

    /// Returns whether the service of messages of this kind has this step.
    fn is_of(self, kind: MessageKind) -> bool {
        match self {
            Self::Received => true,
            Self::BeforeWrite | Self::AfterWrite => kind == MessageKind::Read,
            Self::BeforeAnswer | Self::AfterAnswer => kind != MessageKind::Close,
        }
    }
}

impl fmt::Display for ServiceStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = STEPS.iter().find(|(_, step)| step == self);
        f.write_str(name.map_or("", |s| s.0))
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Read => "read",
        })
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => Ok(()),
            Self::Nth(n) => write!(f, "#{n}"),
            Self::Percent(percent) => write!(f, "%{percent}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(time) => write!(f, "late={}", time.as_millis()),
            Self::Twice => f.write_str("twice"),
            Self::WrongId => f.write_str("wrong-id"),
            Self::WrongObject => f.write_str("wrong-object"),
            Self::Short(bytes) => write!(f, "short={bytes}"),
            Self::Empty => f.write_str("empty"),
            Self::Never => f.write_str("never"),
            Self::CloseEarly => f.write_str("close-early"),
            Self::Refuse(errno) => write!(f, "refuse={}", errno.raw_os_error()),
            Self::Die(step) => write!(f, "die={step}"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:{}", self.kind, self.occurrence, self.action)
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.0.iter().map(Action::to_string).collect();
        f.write_str(&actions.join(", "))
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}
