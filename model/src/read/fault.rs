// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Why a reader refuses.

use crate::observation::Errno;
use crate::strictness::Defect;

/// A refusal.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why} ({errno})")]
pub struct Fault {
    /// What user space sees.
    pub errno: Errno,
    /// The row of the table, unless the error has another cause (the file that holds the image could not be read,
    /// a name that is not there).
    pub defect: Option<Defect>,
    /// A sentence for a person, with the numbers that matter.
    pub why: String,
}

/// What every operation of the reader returns.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A refusal that is no defect of the image.
    pub fn other(errno: Errno, why: impl Into<String>) -> Self {
        Self {
            errno,
            defect: None,
            why: why.into(),
        }
    }

    /// The same refusal, with the name of the thing that it happened to in front.
    #[must_use]
    pub fn of(mut self, thing: &str) -> Self {
        self.why = format!("{thing}: {}", self.why);
        self
    }
}

impl Defect {
    /// The refusal that the table prescribes.
    ///
    /// # Panics
    /// For a defect that the table says is tolerated: the reader must not refuse it.
    pub(crate) fn fault(self, why: impl Into<String>) -> Fault {
        let errno = self.row().errno();
        Fault {
            errno: errno.expect("only a defect that the table refuses makes a fault"),
            defect: Some(self),
            why: why.into(),
        }
    }
}
