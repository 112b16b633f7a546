// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Extended attributes (docs/spec/erofs-format.md section 9).

use xxhash_rust::xxh32::xxh32;

use super::fields::Fields;
use super::permission::Access;
use super::superblock::compat;
use super::{acl, Fault, Image, Inode, MetadataAddress, Result, Space};
use crate::observation::{Errno, Kind, Text};
use crate::strictness::Defect;

const FILTER_SEED: u32 = 0x25bb_e08f;
const USER: u8 = 1;

/// Location of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// After the inode.
    Inline,
    /// In the shared area, with this id.
    Shared(u32),
}

/// A stored attribute.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Xattr {
    /// Index as stored.
    pub index: u8,
    /// Full name; `None` if the index has no prefix that user space can see.
    pub name: Option<Text>,
    /// Value as stored.
    pub value: Text,
    /// Location of the entry.
    pub origin: Origin,
}

/// Namespaces reachable by getxattr(2), and their indexes.
const NAMESPACES: [(u8, &[u8]); 5] = [
    (USER, b"user."),
    (acl::ACCESS, b"system.posix_acl_access"),
    (acl::DEFAULT, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// The attributes of one inode.
struct Area {
    filter: u32,
    /// Location and number of the shared ids.
    ids: MetadataAddress,
    shared: u8,
    /// Location and end of the inline entries.
    entries: MetadataAddress,
    end: u64,
}

/// An attribute of which only the four-byte header was read.
struct Entry {
    origin: Origin,
    index: u8,
    /// Location of the name; the value follows it.
    name: MetadataAddress,
    name_len: u64,
    value_len: u64,
}

impl Entry {
    /// Size including padding to the next entry.
    fn padded(&self) -> u64 {
        (4 + self.name_len + self.value_len).next_multiple_of(4)
    }
}

impl Image {
    /// Returns every stored attribute in lookup order: inline, then shared. Duplicates are kept.
    ///
    /// # Errors
    /// The checks of docs/spec/erofs-format.md section 9.1, or errors of reading the metadata.
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>> {
        let Some(area) = self.xattr_area(inode)? else {
            return Ok(Vec::new());
        };
        let stored = self.xattr_entries(&area).map(|entry| {
            let entry = entry?;
            Ok(Xattr {
                index: entry.index,
                name: self.shown_name(&entry)?,
                value: Text(self.value(&entry)?),
                origin: entry.origin,
            })
        });
        stored.collect()
    }

    fn xattr_area(&self, inode: &Inode) -> Result<Option<Area>> {
        match inode.xattr_count {
            0 => return Ok(None),
            1 => return Err(Defect::XattrCountOne.fault("i_xattr_icount is 1")),
            _ => {}
        }
        let start = inode.xattr_address();
        let header = self.metadata(start, 12)?;
        let shared = Fields(&header).u8(4);
        let (ids, bytes) = (start.plus(12), u64::from(shared) * 4);
        if 12 + bytes > inode.xattr_bytes() {
            let why = format!(
                "{shared} shared attributes in {} bytes",
                inode.xattr_bytes() - 12
            );
            return Err(Defect::XattrSharedCount.fault(why));
        }
        Ok(Some(Area {
            filter: Fields(&header).u32(0),
            ids,
            shared,
            entries: ids.plus(bytes),
            end: inode.tail_address().at,
        }))
    }

    /// Iterates over the entries in lookup order. Continuing after an error yields the same error
    /// again.
    fn xattr_entries<'a>(&'a self, area: &'a Area) -> impl Iterator<Item = Result<Entry>> + 'a {
        let mut place = area.entries;
        let inline = std::iter::from_fn(move || {
            // The area and all entries are multiples of 4 bytes, so a remainder holds at least a
            // header.
            let left = area.end - place.at;
            let entry = (left > 0).then(|| self.inline_xattr(place, left))?;
            place = place.plus(entry.as_ref().map_or(0, Entry::padded));
            Some(entry)
        });
        let shared = (0..u64::from(area.shared)).map(|k| {
            let id = self.metadata(area.ids.plus(4 * k), 4)?;
            self.shared_xattr(Fields(&id).u32(0))
        });
        inline.chain(shared)
    }

    fn inline_xattr(&self, place: MetadataAddress, left: u64) -> Result<Entry> {
        let entry = self.xattr(Origin::Inline, place)?;
        if entry.padded() > left {
            let why = format!(
                "an inline attribute of {} bytes in {left} bytes",
                entry.padded()
            );
            return Err(Defect::XattrEntry.fault(why));
        }
        Ok(entry)
    }

    fn shared_xattr(&self, id: u32) -> Result<Entry> {
        let space = if self.sb.feature_compat & compat::SHARED_XATTRS_IN_METABOX == 0 {
            Space::Primary
        } else if self.metabox.is_some() {
            Space::Metabox
        } else {
            return Err(Defect::XattrNeedsMetabox
                .fault("shared attributes are in a metabox, none is loaded"));
        };
        let at = u64::from(self.sb.xattr_block) << self.sb.block_bits;
        let place = MetadataAddress { space, at }.plus(u64::from(id) * 4);
        self.xattr(Origin::Shared(id), place)
    }

    fn xattr(&self, origin: Origin, place: MetadataAddress) -> Result<Entry> {
        let head = self.xattr_bytes(origin, place, 4)?;
        let f = Fields(&head);
        Ok(Entry {
            origin,
            index: f.u8(1),
            name: place.plus(4),
            name_len: f.u8(0).into(),
            value_len: f.u16(2).into(),
        })
    }

    /// Reads bytes of an attribute's entry.
    fn xattr_bytes(&self, origin: Origin, place: MetadataAddress, len: u64) -> Result<Vec<u8>> {
        self.metadata(place, len)
            .map_err(|fault| match (fault.defect, origin) {
                (Some(Defect::MetadataBeyondImage), Origin::Shared(_)) => {
                    Defect::XattrBeyondImage.fault(fault.why)
                }
                _ => fault,
            })
    }

    fn suffix(&self, entry: &Entry) -> Result<Vec<u8>> {
        self.xattr_bytes(entry.origin, entry.name, entry.name_len)
    }

    fn value(&self, entry: &Entry) -> Result<Vec<u8>> {
        let place = entry.name.plus(entry.name_len);
        self.xattr_bytes(entry.origin, place, entry.value_len)
    }

    /// Parts before the stored suffix of a name: the namespace index, and the infix of a long
    /// prefix.
    fn prefix(&self, index: u8) -> Option<(u8, &[u8])> {
        if index & 0x80 == 0 {
            return Some((index, &[]));
        }
        let prefix = self.prefixes.get(usize::from(index & 0x7f))?;
        Some((prefix.base, prefix.infix.as_bytes()))
    }

    /// Name as user space sees it; `None` for an index without a visible namespace.
    fn shown_name(&self, entry: &Entry) -> Result<Option<Text>> {
        let shown = self.prefix(entry.index).and_then(|(base, infix)| {
            let (_, namespace) = NAMESPACES.iter().find(|(known, _)| *known == base)?;
            Some((*namespace, infix))
        });
        let Some((namespace, infix)) = shown else {
            return Ok(None);
        };
        let name = [namespace, infix, &self.suffix(entry)?].concat();
        Ok(Some(Text(name)))
    }

    /// Names that llistxattr(2) returns to root, in stored order. Values are not read.
    ///
    /// # Errors
    /// As [`Image::xattrs`].
    pub fn listxattr(&self, inode: &Inode) -> Result<Vec<Text>> {
        let Some(area) = self.xattr_area(inode)? else {
            return Ok(Vec::new());
        };
        let names = self
            .xattr_entries(&area)
            .map(|entry| self.shown_name(&entry?));
        names.filter_map(Result::transpose).collect()
    }

    /// Value that lgetxattr(2) returns to root, after the checks of the VFS.
    ///
    /// # Errors
    /// ERANGE for a name of 0 or more than 255 bytes including its namespace; EOPNOTSUPP for an
    /// unknown namespace; EINVAL for a bare namespace; ENODATA; or as [`Image::xattrs`], up to the
    /// entry found.
    pub fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        let refuse = |errno: Errno, why: &str| Err(Fault::other(errno, why));
        if !(1..=255).contains(&name.len()) {
            return refuse(Errno::ERANGE, "the name is empty or longer than 255 bytes");
        }
        let Some((index, suffix)) = split(name) else {
            return refuse(Errno::EOPNOTSUPP, "the format has no such namespace");
        };
        let is_acl = matches!(index, acl::ACCESS | acl::DEFAULT);
        if is_acl && inode.kind == Kind::Symlink {
            return refuse(Errno::EOPNOTSUPP, "a symbolic link has no ACL");
        }
        if index == USER {
            if !matches!(inode.kind, Kind::Regular | Kind::Directory | Kind::Socket) {
                return refuse(
                    Errno::ENODATA,
                    "only files, directories and sockets have user attributes",
                );
            }
            self.permit(inode, Access::Read)?;
        }
        if suffix.is_empty() && !is_acl {
            return refuse(Errno::EINVAL, "the name is a bare namespace");
        }
        let value = self.stored_value(inode, index, suffix)?;
        if !is_acl {
            return Ok(value);
        }
        acl::visible(&value)
            .map_err(|errno| Fault::other(errno, "the stored value is not a valid ACL"))
    }

    /// Value of the first attribute with this name: `suffix` after the namespace of `index`.
    ///
    /// # Errors
    /// ENODATA, or as [`Image::xattrs`], up to the entry found.
    pub(super) fn stored_value(&self, inode: &Inode, index: u8, suffix: &[u8]) -> Result<Vec<u8>> {
        let refuse = |why: &str| Err(Fault::other(Errno::ENODATA, why));
        let Some(area) = self.xattr_area(inode)? else {
            return refuse("the inode has no attributes");
        };
        let hash = xxh32(suffix, FILTER_SEED.wrapping_add(index.into()));
        if self.sb.xattr_filter && area.filter >> (hash % 32) & 1 != 0 {
            return refuse("the name filter says that there is no such attribute");
        }
        for entry in self.xattr_entries(&area) {
            let entry = entry?;
            let Some((base, infix)) = self.prefix(entry.index) else {
                continue;
            };
            let Some(wanted) = suffix.strip_prefix(infix) else {
                continue;
            };
            if base == index
                && wanted.len() as u64 == entry.name_len
                && self.suffix(&entry)? == wanted
            {
                return self.value(&entry);
            }
        }
        refuse("there is no such attribute")
    }
}

/// Splits a full name into namespace index and suffix, as the filter hashes it.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    NAMESPACES.iter().find_map(|(index, prefix)| {
        let suffix = name.strip_prefix(*prefix)?;
        // An ACL's name is a complete name, not a namespace.
        let whole = suffix.is_empty() || !prefix.starts_with(b"system.");
        whole.then_some((*index, suffix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_bits_of_acls_are_those_of_the_specification() {
        let bit = |index: u8| xxh32(b"", FILTER_SEED + u32::from(index)) % 32;
        assert_eq!((bit(acl::ACCESS), bit(acl::DEFAULT)), (30, 21));
    }

    #[test]
    fn a_name_splits_at_its_namespace() {
        assert_eq!(split(b"user.a.b"), Some((1, &b"a.b"[..])));
        assert_eq!(split(b"system.posix_acl_default"), Some((3, &b""[..])));
        assert_eq!(split(b"system.posix_acl_access2"), None);
        assert_eq!(split(b"lustre.lov"), None);
        assert_eq!(split(b"security."), Some((6, &b""[..])));
    }
}
