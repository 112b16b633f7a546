// SPDX-License-Identifier: GPL-2.0

//! The state file in debugfs: a name and a number a line.

use super::Cache;
use crate::vfs::{PageWriter, Report};
use core::fmt::{Result, Write};
use ondine_ondemand::{platform::CacheOps, session::is_alive};

impl Report for Cache {
    fn report(&self, to: &mut PageWriter<'_>) -> Result {
        // The lock is not held while printing.
        let census = self.lock().table.census();
        let hits = self.mounts().hits();
        let counts = self.counters().counts();
        writeln!(to, "bound {}", u8::from(is_alive(self)))?;
        writeln!(to, "objects {}", census.objects)?;
        writeln!(to, "objects_open {}", census.open)?;
        writeln!(to, "requests_queued {}", census.queued)?;
        writeln!(to, "requests_delivered {}", census.delivered)?;
        writeln!(to, "hits {hits}")?;
        writeln!(to, "misses {}", counts.misses)?;
        writeln!(to, "requests {}", counts.requests)?;
        writeln!(to, "requests_merged {}", counts.merged)?;
        writeln!(to, "waiting {}", counts.waiting)?;
        writeln!(to, "longest_wait_us {}", counts.longest_wait_us)?;
        writeln!(to, "bytes_filled {}", self.filled())
    }
}
