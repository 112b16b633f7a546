// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Permission checks of the VFS (fs/namei.c, fs/posix_acl.c) on inodes.
//!
//! Observers are root and pass both mode bits and ACLs. But for an inode of another owner the VFS
//! fetches the ACL first, and fails if it cannot read or parse it.

use super::fields::Fields;
use super::{acl, Fault, Image, Inode, Result};
use crate::observation::Errno;

/// Access to an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Lookup of a name in a directory.
    Search = 1,
    /// Opening a file or directory for reading.
    Read = 4,
}

impl Image {
    /// Checks access by root, with group 0 as its only group.
    ///
    /// # Errors
    /// Errors of reading the ACL, or the errno of an invalid ACL.
    pub(super) fn permit(&self, inode: &Inode, access: Access) -> Result<()> {
        // The owner is checked by the mode only, and an ACL is consulted only if the mode has group
        // bits.
        if inode.uid == 0 || inode.mode & 0o070 == 0 {
            return Ok(());
        }
        let stored = match self.stored_value(inode, acl::ACCESS, b"") {
            Err(fault) if fault.errno == Errno::ENODATA => return Ok(()),
            stored => stored.map_err(|fault| fault.of("the ACL"))?,
        };
        let judged = acl::visible(&stored).and_then(|entries| judge(&entries, inode.gid, access));
        match judged {
            Ok(()) | Err(Errno::ENODATA) => Ok(()),
            Err(errno) => Err(Fault::other(errno, "the kernel rejects the ACL")),
        }
    }
}

/// Checks that an ACL has an entry that applies to root. Root is then not bound by the entry.
fn judge(visible: &[u8], owning_group: u32, access: Access) -> std::result::Result<(), Errno> {
    let (_, entries) = visible.split_at(acl::HEADER);
    for entry in entries.chunks_exact(acl::ENTRY) {
        let f = Fields(entry);
        let (tag, granted, id) = (f.u16(0), f.u16(2) & access as u16 != 0, f.u32(4));
        let answered = match tag {
            acl::USER => id == 0,
            acl::OWNING_GROUP => owning_group == 0 && granted,
            acl::GROUP => id == 0 && granted,
            acl::OTHERS => true,
            _ => false,
        };
        if answered {
            return Ok(());
        }
    }
    Err(Errno::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(entries: &[(u16, u16, u32)], access: Access) -> std::result::Result<(), Errno> {
        let mut bytes = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        judge(&bytes, 0, access)
    }

    #[test]
    fn an_acl_without_an_entry_for_others_is_invalid_for_unnamed_users() {
        let owner = (acl::OWNER, 7, u32::MAX);
        assert_eq!(judged(&[owner], Access::Read), Err(Errno::EIO));
        let others = (acl::OTHERS, 0, u32::MAX);
        assert_eq!(judged(&[owner, others], Access::Read), Ok(()));
        let root = (acl::USER, 0, 0);
        assert_eq!(judged(&[owner, root], Access::Read), Ok(()));
        let somebody = (acl::USER, 7, 1000);
        assert_eq!(judged(&[owner, somebody], Access::Read), Err(Errno::EIO));
    }

    #[test]
    fn a_group_entry_applies_if_it_grants_the_access() {
        let group = (acl::OWNING_GROUP, 4, u32::MAX);
        assert_eq!(judged(&[group], Access::Read), Ok(()));
        assert_eq!(judged(&[group], Access::Search), Err(Errno::EIO));
    }
}
