// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Who may read an inode: from the VFS' own rules (fs/namei.c, fs/posix_acl.c), not a driver's.
//!
//! Observers are root, whom neither the mode nor an ACL keeps out. But of an inode that is not root's own the VFS asks
//! for the ACL first, and what it cannot get or understand is an error.

use super::fields::Fields;
use super::xattr::ACL_ACCESS;
use super::{acl, Fault, Image, Inode, Result};
use crate::observation::Errno;

/// What is done to an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Looking a name up in a directory.
    Search = 1,
    /// Opening a file or a directory for reading.
    Read = 4,
}

impl Image {
    /// Whether root may do this, group 0 being its only group.
    ///
    /// # Errors
    /// What reading the ACL gave, or the errno of an ACL that is none.
    pub(super) fn permit(&self, inode: &Inode, access: Access) -> Result<()> {
        // The owner is judged by the mode alone; without a group's permissions in it there is no ACL to ask for.
        if inode.uid == 0 || inode.mode & 0o070 == 0 {
            return Ok(());
        }
        let stored = match self.stored_value(inode, ACL_ACCESS, b"") {
            Err(fault) if fault.errno == Errno::ENODATA => return Ok(()),
            stored => stored.map_err(|fault| fault.of("the ACL"))?,
        };
        let judged = acl::visible(&stored).and_then(|entries| judge(&entries, inode.gid, access));
        match judged {
            Ok(()) | Err(Errno::ENODATA) => Ok(()),
            Err(errno) => Err(Fault::other(errno, "the ACL is none that the kernel takes")),
        }
    }
}

/// Whether an ACL has an answer for root, who goes by neither a yes nor a no.
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
    fn an_acl_that_says_nothing_of_others_has_no_answer_for_who_is_not_named() {
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
    fn a_group_answers_by_what_it_grants() {
        let group = (acl::OWNING_GROUP, 4, u32::MAX);
        assert_eq!(judged(&[group], Access::Read), Ok(()));
        assert_eq!(judged(&[group], Access::Search), Err(Errno::EIO));
    }
}
