// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A listener, for which tasks that use a cache file wait.

use std::fs::File;

use anyhow::Context as _;
use vmtest_wire::conform::op::Watched;
use vmtest_wire::conform::step::OK;

use super::{Outcome, Worker};
use crate::sys::fanotify::{PreContent, OPEN_PERM, PRE_ACCESS};

impl Worker {
    pub(super) fn listen(&mut self, path: &str, what: Watched) -> Outcome {
        let file = File::open(self.place.cache.join(path))?;
        let listener = PreContent::new()?;
        let events = match what {
            Watched::Open => OPEN_PERM,
            Watched::Bytes => PRE_ACCESS,
        };
        listener.mark(&file, events)?;
        self.listener = Some(listener);
        Ok(OK.to_owned())
    }

    pub(super) fn permit(&self) -> Outcome {
        let listener = self.listener.as_ref().context("nothing is watched")?;
        for access in listener.wait()? {
            listener.allow(&access)?;
        }
        Ok(OK.to_owned())
    }

    pub(super) fn deny(&self) -> Outcome {
        let listener = self.listener.as_ref().context("nothing is watched")?;
        for access in listener.wait()? {
            listener.deny(&access)?;
        }
        Ok(OK.to_owned())
    }
}
