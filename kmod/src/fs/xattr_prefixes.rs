// SPDX-License-Identifier: GPL-2.0

//! The image's table of long attribute name prefixes, in memory.

use super::error::ImageResult;
use kernel::prelude::*;
use ondine_erofs::{prefix::RECORD_MAX, Prefix, PrefixReader, PrefixTable, Source, SuperBlock};

/// Most prefixes that the name index of an attribute can refer to.
const MAX_PREFIXES: usize = 128;

/// The prefixes, in the order of the table.
pub(crate) struct XattrPrefixes {
    /// For each prefix: base index, start and end of its infix.
    table: KVec<(u8, usize, usize)>,
    infixes: KVec<u8>,
}

impl XattrPrefixes {
    /// Reads and checks the whole table.
    pub(super) fn load(
        image: &impl Source<Error = Error>,
        superblock: &SuperBlock,
    ) -> ImageResult<Self> {
        let mut prefixes = Self {
            table: KVec::new(),
            infixes: KVec::new(),
        };
        let mut reader = PrefixReader::new(superblock);
        let mut record = [0u8; RECORD_MAX];
        while let Some(prefix) = reader.next(image, &mut record)? {
            prefixes
                .push(&prefix)
                .map_err(ondine_erofs::Error::Source)?;
        }
        Ok(prefixes)
    }

    fn push(&mut self, prefix: &Prefix<'_>) -> Result {
        // Further prefixes are checked, but no attribute can refer to them.
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

impl PrefixTable for XattrPrefixes {
    fn prefix(&self, id: u8) -> Option<Prefix<'_>> {
        let &(base_index, start, end) = self.table.get(usize::from(id))?;
        Some(Prefix {
            base_index,
            infix: self.infixes.get(start..end)?,
        })
    }
}
