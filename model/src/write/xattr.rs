// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Extended attributes: sharing, encoding, and the area after each inode (docs/spec/erofs-format.md
//! section 9).

use std::collections::{BTreeMap, BTreeSet};

use super::checksum::xxh32;
use super::options::{ImageOptions, SharedXattrs, SHORT_PREFIXES};
use super::record::Record;
use super::WriteError;
use crate::tree::{Node, Tree};

/// Maximum number of shared ids of an inode.
const SHARED_MAX: usize = 255;
/// Maximum size of an inline area: the header and 65534 words.
const AREA_MAX: usize = 12 + 4 * 65534;
/// Seed of the name filter, before the base index is added.
const FILTER_SEED: u32 = 0x25bb_e08f;

type Pair<'a> = (&'a [u8], &'a [u8]);

/// All shared entries of an image.
#[derive(Debug, Default)]
pub(super) struct Shared<'a> {
    /// All entries, concatenated.
    pub(super) table: Record,
    /// Offset of each in the table, in units of 4 bytes.
    places: BTreeMap<Pair<'a>, u32>,
}

/// Splits an attribute name into the index that the entry stores and the rest of the name.
fn split<'n>(name: &'n [u8], options: &ImageOptions) -> Result<(u8, &'n [u8]), WriteError> {
    let (base, suffix) = split_short(name)?;
    let long = options
        .prefixes
        .iter()
        .zip(0x80..=0xff_u8)
        .filter(|(prefix, _)| prefix.base == base && suffix.starts_with(&prefix.infix))
        .max_by_key(|(prefix, _)| prefix.infix.len());
    Ok(match long {
        Some((prefix, index)) => (index, &suffix[prefix.infix.len()..]),
        None => (base, suffix),
    })
}

/// Splits a name into the short prefix's index and the rest. The ACLs' names consist of a prefix
/// only.
fn split_short(name: &[u8]) -> Result<(u8, &[u8]), WriteError> {
    SHORT_PREFIXES
        .iter()
        .filter_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))
        .find(|(index, suffix)| matches!(index, 2 | 3) == suffix.is_empty())
        .ok_or_else(|| WriteError::XattrName(name.escape_ascii().to_string()))
}

/// Bit of the name filter for this name.
fn filter_bit(name: &[u8]) -> Result<u32, WriteError> {
    let (base, suffix) = split_short(name)?;
    Ok(1 << (xxh32(FILTER_SEED + u32::from(base), suffix) % 32))
}

fn entry((name, value): Pair<'_>, options: &ImageOptions) -> Result<Record, WriteError> {
    let (index, rest) = split(name, options)?;
    let too_long = || WriteError::XattrSize(name.escape_ascii().to_string());
    let mut record = Record::new();
    record.u8(
        "xattr.name_len",
        u8::try_from(rest.len()).map_err(|_| too_long())?,
    );
    record.u8("xattr.name_index", index);
    record.u16(
        "xattr.value_size",
        u16::try_from(value.len()).map_err(|_| too_long())?,
    );
    record.raw(rest);
    record.raw(value);
    record.align(4);
    Ok(record)
}

fn pairs(node: &Node) -> impl Iterator<Item = Pair<'_>> {
    node.xattrs
        .iter()
        .map(|(name, value)| (name.as_slice(), value.as_slice()))
}

/// Collects the attributes that two or more nodes have with the same value.
pub(super) fn share<'a>(tree: &'a Tree, options: &ImageOptions) -> Result<Shared<'a>, WriteError> {
    let mut shared = Shared::default();
    if options.shared_xattrs == SharedXattrs::None {
        return Ok(shared);
    }
    let mut once = BTreeSet::new();
    for pair in tree.nodes().flat_map(|(_, node)| pairs(node)) {
        if !once.insert(pair) && !shared.places.contains_key(&pair) {
            shared.places.insert(pair, (shared.table.len() / 4) as u32);
            shared.table.append(entry(pair, options)?);
        }
    }
    Ok(shared)
}

/// Encodes the area after the inode of `node`. `first_id` is the id of the first shared entry.
pub(super) fn area(
    node: &Node,
    shared: &Shared<'_>,
    first_id: u32,
    options: &ImageOptions,
) -> Result<Record, WriteError> {
    let mut record = Record::new();
    if node.xattrs.is_empty() {
        return Ok(record);
    }
    let by_id: Vec<Pair<'_>> = pairs(node)
        .filter(|pair| shared.places.contains_key(pair))
        .take(SHARED_MAX)
        .collect();
    let mut present = 0;
    for (name, _) in pairs(node) {
        present |= filter_bit(name)?;
    }
    let filter = match (options.filter, options.filter_reserved) {
        (false, _) => 0,
        (true, 0) => !present,
        // Must be ignored: a reader that uses it misses every attribute.
        (true, _) => u32::MAX,
    };
    record.u32("xattr.name_filter", filter);
    record.u8("xattr.shared_count", by_id.len() as u8);
    record.reserved(7, options.filler());
    for pair in &by_id {
        record.u32("xattr.shared_id", first_id + shared.places[pair]);
    }
    for pair in pairs(node).filter(|pair| !by_id.contains(pair)) {
        record.append(entry(pair, options)?);
    }
    match record.len() {
        ..=AREA_MAX => Ok(record),
        bytes => Err(WriteError::XattrArea(bytes)),
    }
}

/// Encodes the long prefix table (docs/spec/erofs-format.md section 9.4).
pub(super) fn prefix_table(options: &ImageOptions) -> Record {
    let mut record = Record::new();
    for prefix in &options.prefixes {
        record.align(4);
        record.u16("xattr_prefix.length", prefix.infix.len() as u16 + 1);
        record.u8("xattr_prefix.base", prefix.base);
        record.raw(&prefix.infix);
    }
    record.align(4);
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::LongPrefix;

    #[test]
    fn the_longest_prefix_wins() {
        let prefix = |base, infix: &[u8]| LongPrefix {
            base,
            infix: infix.to_vec(),
        };
        let prefixes = vec![prefix(1, b"a."), prefix(1, b"a.b."), prefix(4, b"a.b.c")];
        let options = ImageOptions {
            prefixes,
            ..ImageOptions::default()
        };
        assert_eq!(split(b"user.a.b.c", &options).unwrap(), (0x81, &b"c"[..]));
        assert_eq!(split(b"user.a.x", &options).unwrap(), (0x80, &b"x"[..]));
        assert_eq!(split(b"security.a.x", &options).unwrap(), (6, &b"a.x"[..]));
        assert_eq!(
            split(b"system.posix_acl_access", &options).unwrap(),
            (2, &b""[..])
        );
        assert!(split(b"system.other", &options).is_err());
    }
}
