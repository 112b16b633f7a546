// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Long attribute prefixes and their four possible locations (docs/spec/erofs-format.md section
//! 9.4).

use super::fields::Fields;
use super::superblock::{compat, incompat};
use super::{MetadataAddress, Result, Space, Superblock};
use crate::observation::Text;
use crate::strictness::Defect;

/// A long prefix: a short prefix and an infix.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Prefix {
    /// Index of the short prefix (docs/spec/erofs-format.md section 9.3), unchecked.
    pub base: u8,
    /// Bytes between the short prefix and the stored suffix.
    pub infix: Text,
}

/// Space of the long prefix table, in an image with or without a packed inode.
pub(super) fn space(sb: &Superblock, packed: bool) -> Space {
    if sb.feature_compat & compat::PLAIN_PREFIXES != 0 {
        Space::Primary
    } else if sb.has(incompat::METABOX) {
        Space::Metabox
    } else if packed {
        Space::Packed
    } else {
        Space::Primary
    }
}

/// Reads the table by `metadata`, which takes the position and length of a piece of metadata.
pub(super) fn table(
    sb: &Superblock,
    packed: bool,
    metadata: impl Fn(MetadataAddress, u64) -> Result<Vec<u8>>,
) -> Result<Vec<Prefix>> {
    let mut place = MetadataAddress {
        space: space(sb, packed),
        at: sb.prefix_start,
    };
    let mut prefixes = Vec::new();
    for k in 0..sb.prefix_count {
        place = place.aligned(4);
        let thing = format!("long xattr prefix {k}");
        let length = Fields(&metadata(place, 2).map_err(|fault| fault.of(&thing))?).u16(0);
        // A length of 0 means 65536, which is as invalid as any other above 256.
        if !(1..=256).contains(&length) {
            return Err(Defect::PrefixLength.fault(format!("{thing} has length {length}")));
        }
        let record = metadata(place.plus(2), length.into()).map_err(|fault| fault.of(&thing))?;
        prefixes.push(Prefix {
            base: record[0],
            infix: Text::from(&record[1..]),
        });
        place = place.plus(2 + u64::from(length));
    }
    Ok(prefixes)
}
