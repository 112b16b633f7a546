// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Extended attributes as llistxattr(2) and lgetxattr(2) show them to root: the pure crate's answers under the rules
//! of the VFS.

use std::collections::BTreeMap;

use ondine_erofs::xattr::{self, index, short_prefix, SCRATCH};
use ondine_erofs::Inode;
use ondine_model::observation::{Errno, Text};
use ondine_model::observe::Options;

use super::acl::{shown, READ};
use super::mount::{errno, Mount};

/// The VFS lists no more bytes than these.
const LIST_MAX: usize = 65536;
/// Nor does it take longer names.
const NAME_MAX: usize = 255;
/// Name indexes that user space can reach.
const REACHABLE: [u8; 5] = [
    index::USER,
    index::POSIX_ACL_ACCESS,
    index::POSIX_ACL_DEFAULT,
    index::TRUSTED,
    index::SECURITY,
];

impl Mount<'_> {
    pub(super) fn xattrs(
        &self,
        inode: &Inode,
        options: &Options,
    ) -> Result<BTreeMap<Text, Result<Text, Errno>>, Errno> {
        let mut list = Vec::new();
        let mut scratch = [0; SCRATCH];
        xattr::list(self, &self.sb, inode, self, &mut scratch, |name| {
            let prefix = short_prefix(name.index).unwrap_or_default();
            for piece in [prefix.as_bytes(), name.infix, name.suffix, &[0]] {
                list.extend_from_slice(piece);
            }
            Ok(())
        })
        .map_err(errno)?;
        if list.len() > LIST_MAX {
            return Err(Errno::E2BIG);
        }
        // User space cuts the list at NULs, also at one within a name.
        let names = list.split_inclusive(|byte| *byte == 0);
        let names = names.filter_map(|name| name.strip_suffix(&[0]));
        let shown = names.filter(|name| options.records(name));
        Ok(shown
            .map(|name| (Text::from(name), self.xattr(inode, name)))
            .collect())
    }

    /// lgetxattr(2).
    fn xattr(&self, inode: &Inode, name: &[u8]) -> Result<Text, Errno> {
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(Errno::ERANGE);
        }
        let split = REACHABLE.iter().find_map(|index| {
            let prefix = short_prefix(*index)?;
            let suffix = name.strip_prefix(prefix.as_bytes())?;
            // Either a namespace or a whole name.
            (prefix.ends_with('.') || suffix.is_empty()).then_some((*index, suffix))
        });
        let (index, suffix) = split.ok_or(Errno::EOPNOTSUPP)?;
        let acl = matches!(index, index::POSIX_ACL_ACCESS | index::POSIX_ACL_DEFAULT);
        let kind = inode.mode & 0o170_000;
        let socket = kind == 0o140_000;
        if acl && inode.is_symlink() {
            return Err(Errno::EOPNOTSUPP);
        }
        if index == index::USER {
            if !(inode.is_regular() || inode.is_dir() || socket) {
                return Err(Errno::ENODATA);
            }
            self.may(inode, READ)?;
        }
        if suffix.is_empty() && !acl {
            return Err(Errno::EINVAL);
        }
        let mut value = self.value(inode, index, suffix)?;
        if acl {
            value = shown(&value)?;
        }
        Ok(Text(value))
    }

    /// The stored value of an attribute.
    pub(super) fn value(&self, inode: &Inode, index: u8, suffix: &[u8]) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0; usize::from(u16::MAX)];
        let buf = Some(&mut value[..]);
        let size = xattr::get(self, &self.sb, inode, self, index, suffix, buf).map_err(errno)?;
        value.truncate(size);
        Ok(value)
    }
}
