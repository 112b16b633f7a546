// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Long attribute prefixes (9.4), which may be stored in any of four places.

use super::fields::Fields;
use super::superblock::{compat, incompat};
use super::{Image, Place, Result, Space};
use crate::observation::Text;
use crate::strictness::Defect;

/// A long prefix: a short one and what follows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Prefix {
    /// Index of the short prefix (9.3), unchecked.
    pub base: u8,
    /// Bytes between the short prefix and the stored name.
    pub infix: Text,
}

impl Image {
    /// Where the table of long prefixes is, in an image with or without a packed inode.
    pub(super) fn prefix_space(&self, packed: bool) -> Space {
        if self.sb.feature_compat & compat::PLAIN_PREFIXES != 0 {
            Space::Primary
        } else if self.sb.has(incompat::METABOX) {
            Space::Metabox
        } else if packed {
            Space::Packed
        } else {
            Space::Primary
        }
    }

    pub(super) fn read_prefixes(&self) -> Result<Vec<Prefix>> {
        let mut place = Place {
            space: self.prefix_space(self.packed.is_some()),
            at: self.sb.prefix_start,
        };
        let mut prefixes = Vec::new();
        for k in 0..self.sb.prefix_count {
            place = place.aligned(4);
            let thing = format!("long xattr prefix {k}");
            let length = Fields(&self.metadata(place, 2).map_err(|fault| fault.of(&thing))?).u16(0);
            // A length of 0 stands for 65536, which is as wrong as every other one above 256.
            if !(1..=256).contains(&length) {
                return Err(Defect::PrefixLength.fault(format!("{thing} has length {length}")));
            }
            let record = self
                .metadata(place.plus(2), length.into())
                .map_err(|fault| fault.of(&thing))?;
            prefixes.push(Prefix {
                base: record[0],
                infix: Text::from(&record[1..]),
            });
            place = place.plus(2 + u64::from(length));
        }
        Ok(prefixes)
    }
}
