// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Refusals of the reader.

use crate::observation::Errno;
use crate::strictness::Defect;

/// A refusal of an operation.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{why} ({errno})")]
pub struct Fault {
    /// Errno that user space gets.
    pub errno: Errno,
    /// Row of the table; `None` if the error is no defect (a name that does not exist, an image
    /// file that cannot be read).
    pub defect: Option<Defect>,
    /// Reason as a sentence, with the relevant numbers.
    pub why: String,
}

/// Result of every operation of the reader.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A refusal without a defect of the image.
    pub fn other(errno: Errno, why: impl Into<String>) -> Self {
        Self {
            errno,
            defect: None,
            why: why.into(),
        }
    }

    /// Prepends the name of the affected object to the reason.
    #[must_use]
    pub fn of(mut self, thing: &str) -> Self {
        self.why = format!("{thing}: {}", self.why);
        self
    }
}

impl Defect {
    /// The refusal that the table prescribes for this defect.
    ///
    /// # Panics
    /// For a defect that the table tolerates, which the reader must not refuse.
    pub(crate) fn fault(self, why: impl Into<String>) -> Fault {
        let errno = self.row().errno();
        Fault {
            errno: errno.expect("only a defect that the table refuses makes a fault"),
            defect: Some(self),
            why: why.into(),
        }
    }
}
