// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Extended attributes (section 9).

use xxhash_rust::xxh32::xxh32;

use super::fields::Fields;
use super::superblock::compat;
use super::{acl, Fault, Image, Inode, Place, Result, Space};
use crate::observation::{Errno, Kind, Text};
use crate::strictness::Defect;

const FILTER_SEED: u32 = 0x25bb_e08f;
const ACL_ACCESS: u8 = 2;
const ACL_DEFAULT: u8 = 3;

/// Where an attribute is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// After the inode.
    Inline,
    /// In the shared area, under this id.
    Shared(u32),
}

/// A stored attribute.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Xattr {
    /// Index as stored.
    pub index: u8,
    /// Full name; `None` if the index names no prefix that user space can see.
    pub name: Option<Text>,
    /// Value as stored.
    pub value: Text,
    /// Where it is.
    pub origin: Origin,
}

/// The namespaces that getxattr(2) can reach, and their indexes.
const NAMESPACES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (ACL_ACCESS, b"system.posix_acl_access"),
    (ACL_DEFAULT, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

struct Header {
    filter: u32,
    shared: Vec<u32>,
    /// The area after the shared ids.
    entries: Vec<u8>,
}

impl Image {
    /// Every stored attribute in lookup order: inline first, then shared. Later duplicates are kept.
    ///
    /// # Errors
    /// The checks of 9.1, or what reading the metadata gave.
    pub fn xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>> {
        let Some(header) = self.xattr_header(inode)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut rest = header.entries.as_slice();
        while !rest.is_empty() {
            // The area and all entries are of whole words, so a rest has room for an entry's own four bytes.
            let (entry, used) = self.xattr(rest, Origin::Inline);
            let Some(entry) = entry else {
                let why = format!(
                    "an inline attribute of {used} bytes in {} bytes",
                    rest.len()
                );
                return Err(Defect::XattrEntry.fault(why));
            };
            found.push(entry);
            rest = &rest[used..];
        }
        for id in header.shared {
            found.push(self.shared_xattr(id)?);
        }
        Ok(found)
    }

    fn xattr_header(&self, inode: &Inode) -> Result<Option<Header>> {
        match inode.xattr_count {
            0 => return Ok(None),
            1 => return Err(Defect::XattrCountOne.fault("i_xattr_icount is 1")),
            _ => {}
        }
        let area = self.metadata(inode.xattr_place(), inode.xattr_bytes())?;
        let (header, rest) = area.split_at(12);
        let count = usize::from(header[4]);
        let Some((ids, entries)) = rest.split_at_checked(count * 4) else {
            let why = format!("{count} shared attributes in {} bytes", rest.len());
            return Err(Defect::XattrSharedCount.fault(why));
        };
        Ok(Some(Header {
            filter: Fields(header).u32(0),
            shared: ids.chunks_exact(4).map(|id| Fields(id).u32(0)).collect(),
            entries: entries.to_vec(),
        }))
    }

    /// The entry at the start of `bytes`, if it fits, and its padded length.
    fn xattr(&self, bytes: &[u8], origin: Origin) -> (Option<Xattr>, usize) {
        let f = Fields(bytes);
        let (name, index, value) = (usize::from(f.u8(0)), f.u8(1), usize::from(f.u16(2)));
        let used = (4 + name + value).next_multiple_of(4);
        let entry = bytes.get(4..used).map(|body| Xattr {
            index,
            name: self.full_name(index, &body[..name]),
            value: Text::from(&body[name..name + value]),
            origin,
        });
        (entry, used)
    }

    fn shared_xattr(&self, id: u32) -> Result<Xattr> {
        let space = if self.sb.feature_compat & compat::SHARED_XATTRS_IN_METABOX == 0 {
            Space::Primary
        } else if self.metabox.is_some() {
            Space::Metabox
        } else {
            return Err(Defect::XattrNeedsMetabox
                .fault("shared attributes are in a metabox, none is loaded"));
        };
        let start = u64::from(self.sb.xattr_block) << self.sb.block_bits;
        let place = Place { space, at: start }.plus(u64::from(id) * 4);
        let read = |len| {
            self.metadata(place, len)
                .map_err(|fault| match fault.defect {
                    Some(Defect::MetadataBeyondImage) => Defect::XattrBeyondImage.fault(fault.why),
                    _ => fault,
                })
        };
        let head = read(4)?;
        let f = Fields(&head);
        // The padding of the last entry need not be there.
        let len = 4 + u64::from(f.u8(0)) + u64::from(f.u16(2));
        let mut bytes = read(len)?;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let (entry, _) = self.xattr(&bytes, Origin::Shared(id));
        Ok(entry.expect("read as long as it says"))
    }

    /// The name that user space sees; `None` for an index that it cannot see.
    fn full_name(&self, index: u8, suffix: &[u8]) -> Option<Text> {
        let (base, infix) = if index & 0x80 == 0 {
            (index, &[][..])
        } else {
            let prefix = self.prefixes.get(usize::from(index & 0x7f))?;
            (prefix.base, prefix.infix.as_bytes())
        };
        let (_, prefix) = NAMESPACES.iter().find(|(known, _)| *known == base)?;
        Some(Text([prefix, infix, suffix].concat()))
    }

    /// The names that llistxattr(2) gives to root, in stored order.
    ///
    /// # Errors
    /// As [`Image::xattrs`].
    pub fn listxattr(&self, inode: &Inode) -> Result<Vec<Text>> {
        let stored = self.xattrs(inode)?;
        Ok(stored.into_iter().filter_map(|xattr| xattr.name).collect())
    }

    /// The value that lgetxattr(2) gives to root, the rules of the VFS included.
    ///
    /// # Errors
    /// ENODATA, EOPNOTSUPP for a name of no namespace, EINVAL for a bare namespace, ERANGE for a name whose part
    /// after the namespace is longer than 255 bytes; or as [`Image::xattrs`].
    pub fn getxattr(&self, inode: &Inode, name: &[u8]) -> Result<Vec<u8>> {
        let refuse = |errno: Errno, why: &str| Err(Fault::other(errno, why));
        let Some((index, suffix)) = split(name) else {
            return refuse(
                Errno::EOPNOTSUPP,
                "the name is in no namespace that the format has",
            );
        };
        let is_acl = matches!(index, ACL_ACCESS | ACL_DEFAULT);
        if is_acl && inode.kind == Kind::Symlink {
            return refuse(Errno::EOPNOTSUPP, "a symbolic link has no ACL");
        }
        let user = matches!(inode.kind, Kind::Regular | Kind::Directory | Kind::Socket);
        if index == 1 && !user {
            return refuse(
                Errno::ENODATA,
                "only files, directories and sockets have user attributes",
            );
        }
        if suffix.is_empty() && !is_acl {
            return refuse(Errno::EINVAL, "the name is a bare namespace");
        }
        if suffix.len() > 255 {
            return refuse(Errno::ERANGE, "the name is too long");
        }
        let Some(header) = self.xattr_header(inode)? else {
            return refuse(Errno::ENODATA, "the inode has no attributes");
        };
        let hash = xxh32(suffix, FILTER_SEED.wrapping_add(index.into()));
        if self.sb.xattr_filter && header.filter >> (hash % 32) & 1 != 0 {
            return refuse(
                Errno::ENODATA,
                "the name filter says that there is no such attribute",
            );
        }
        let stored = self.xattrs(inode)?;
        let wanted = |xattr: &&Xattr| xattr.name.as_ref().is_some_and(|found| found.0 == name);
        match stored.iter().find(wanted) {
            None => refuse(Errno::ENODATA, "there is no such attribute"),
            Some(xattr) if is_acl => {
                let shown = acl::visible(xattr.value.as_bytes());
                shown.map_err(|errno| {
                    Fault::other(errno, "the stored value is no ACL that the kernel shows")
                })
            }
            Some(xattr) => Ok(xattr.value.0.clone()),
        }
    }
}

/// A full name as namespace index and suffix, as the filter hashes it.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    NAMESPACES.iter().find_map(|(index, prefix)| {
        let suffix = name.strip_prefix(*prefix)?;
        // An ACL's name is a whole name, not a namespace.
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
        assert_eq!((bit(ACL_ACCESS), bit(ACL_DEFAULT)), (30, 21));
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
