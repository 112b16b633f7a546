// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Rules as text, both ways.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::io::Errno;
use thiserror::Error;

use super::{Action, Behaviour, Kind, Rule, Step, When};

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// The parts are not there.
    #[error("the rule {0:?} is not KIND[#N|%P]:ACTION[=VALUE], as in read#3:late=50")]
    Form(String),
    /// No message is called so.
    #[error("{0:?} is no message; there are open, close and read")]
    Kind(String),
    /// The count or the chance is none.
    #[error("{0:?} is neither a count from 1 nor a chance of 0 to 100 percent")]
    When(String),
    /// There is no such action for these messages.
    #[error("a message of kind {0} cannot be answered with {1:?}")]
    Action(Kind, String),
    /// The action's value is none.
    #[error("{1:?} is not a value of {0}")]
    Value(String, String),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (which, action) = text
            .split_once(':')
            .ok_or_else(|| RuleError::Form(text.to_owned()))?;
        let (kind, when) = match which.find(['#', '%']) {
            Some(at) => which.split_at(at),
            None => (which, ""),
        };
        let kind = match kind {
            "open" => Kind::Open,
            "close" => Kind::Close,
            "read" => Kind::Read,
            _ => return Err(RuleError::Kind(kind.to_owned())),
        };
        Ok(Self {
            kind,
            when: when.parse()?,
            action: Action::parse(kind, action)?,
        })
    }
}

impl FromStr for When {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let when = if let Some(count) = text.strip_prefix('#') {
            count.parse().ok().filter(|n| *n > 0).map(Self::Nth)
        } else if let Some(percent) = text.strip_prefix('%') {
            let percent = percent.parse().ok();
            percent
                .filter(|p| (0.0..=100.0).contains(p))
                .map(Self::Percent)
        } else {
            Some(Self::Always)
        };
        when.ok_or_else(|| RuleError::When(text.to_owned()))
    }
}

impl Action {
    fn parse(kind: Kind, text: &str) -> Result<Self, RuleError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let number = value.and_then(|value| value.parse::<u64>().ok());
        // A value that is missing is as wrong as one that does not parse.
        let action = match (kind, name) {
            (_, "die") => value
                .and_then(Step::parse)
                .filter(|step| step.is_of(kind))
                .map(Self::Die),
            (Kind::Open | Kind::Read, "late") => {
                number.map(|ms| Self::Late(Duration::from_millis(ms)))
            }
            (Kind::Open | Kind::Read, "twice") => value.is_none().then_some(Self::Twice),
            (Kind::Open | Kind::Read, "wrong-id") => value.is_none().then_some(Self::WrongId),
            (Kind::Open | Kind::Read, "never") => value.is_none().then_some(Self::Never),
            (Kind::Open | Kind::Read, "close-early") => value.is_none().then_some(Self::CloseEarly),
            (Kind::Read, "wrong-object") => value.is_none().then_some(Self::WrongObject),
            (Kind::Read, "empty") => value.is_none().then_some(Self::Empty),
            (Kind::Read, "short") => number.map(Self::Short),
            (Kind::Open, "refuse") => number
                .filter(|errno| (1..=4095).contains(errno))
                .map(|errno| Self::Refuse(Errno::from_raw_os_error(errno as i32))),
            _ => return Err(RuleError::Action(kind, name.to_owned())),
        };
        action.ok_or_else(|| RuleError::Value(name.to_owned(), value.unwrap_or("").to_owned()))
    }
}

const STEPS: [(&str, Step); 5] = [
    ("received", Step::Received),
    ("before-write", Step::BeforeWrite),
    ("after-write", Step::AfterWrite),
    ("before-answer", Step::BeforeAnswer),
    ("after-answer", Step::AfterAnswer),
];

impl Step {
    fn parse(text: &str) -> Option<Self> {
        STEPS.iter().find(|(name, _)| *name == text).map(|s| s.1)
    }

    /// Whether the service of such a message has this step.
    fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Received => true,
            Self::BeforeWrite | Self::AfterWrite => kind == Kind::Read,
            Self::BeforeAnswer | Self::AfterAnswer => kind != Kind::Close,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = STEPS.iter().find(|(_, step)| step == self);
        f.write_str(name.map_or("", |s| s.0))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Read => "read",
        })
    }
}

impl fmt::Display for When {
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
        write!(f, "{}{}:{}", self.kind, self.when, self.action)
    }
}

impl fmt::Display for Behaviour {
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
