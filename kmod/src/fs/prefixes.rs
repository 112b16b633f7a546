// SPDX-License-Identifier: GPL-2.0

//! The image's table of long attribute name prefixes, in memory.

use super::data::{Answer, Data};
use kernel::prelude::*;
use ondine_erofs::{prefix::RECORD_MAX, Prefix, PrefixReader, PrefixTable};

/// As many prefixes as an attribute's name index can name.
const MAX_PREFIXES: usize = 128;

/// All prefixes, one after another.
pub(crate) struct Prefixes {
    /// For each: its base index, and where its infix begins and ends.
    table: KVec<(u8, usize, usize)>,
    infixes: KVec<u8>,
}

impl Prefixes {
    /// Reads and checks the whole table.
    pub(super) fn load(data: &Data) -> Answer<Self> {
        let mut prefixes = Self {
            table: KVec::new(),
            infixes: KVec::new(),
        };
        let mut reader = PrefixReader::new(&data.image);
        let mut record = [0u8; RECORD_MAX];
        while let Some(prefix) = reader.next(data, &mut record)? {
            prefixes
                .push(&prefix)
                .map_err(ondine_erofs::Error::Source)?;
        }
        Ok(prefixes)
    }

    fn push(&mut self, prefix: &Prefix<'_>) -> Result {
        // What comes after has been checked, and no attribute can name it.
        if self.table.len() == MAX_PREFIXES {
            return Ok(());
        }
        let start = self.infixes.len();
        self.infixes.extend_from_slice(prefix.infix, GFP_KERNEL)?;
        let entry = (prefix.base_index, start, self.infixes.len());
        self.table.push(entry, GFP_KERNEL)?;
        Ok(())
    }
}

impl PrefixTable for Prefixes {
    fn prefix(&self, id: u8) -> Option<Prefix<'_>> {
        let &(base_index, start, end) = self.table.get(usize::from(id))?;
        Some(Prefix {
            base_index,
            infix: self.infixes.get(start..end)?,
        })
    }
}
