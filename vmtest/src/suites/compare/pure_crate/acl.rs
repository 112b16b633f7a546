// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Access control lists as the VFS shows them, and its permission check when root opens or searches an inode of
//! another owner.

use ondine_erofs::xattr::index;
use ondine_erofs::Inode;
use ondine_model::observation::Errno;

use super::mount::Mount;

/// Permission to read.
pub(super) const READ: u8 = 4;
/// Permission to look a name up.
pub(super) const SEARCH: u8 = 1;

impl Mount<'_> {
    /// Checks access of root (group 0). Neither mode nor ACL denies it, but the VFS reads the ACL if the inode has
    /// another owner and its group has any permission; an ACL that cannot be read or does not decide is an error.
    pub(super) fn may(&self, inode: &Inode, want: u8) -> Result<(), Errno> {
        if inode.uid == 0 || inode.mode & 0o070 == 0 {
            return Ok(());
        }
        let list = self.value(inode, index::POSIX_ACL_ACCESS, b"");
        let list = match list.and_then(|stored| shown(&stored)) {
            Err(Errno::ENODATA) => return Ok(()),
            list => list?,
        };
        let answers = list[4..].chunks_exact(8).any(|entry| {
            let (tag, grants) = (entry[0], entry[2] & want == want);
            let names_root = entry[4..] == [0; 4];
            match tag {
                0x02 => names_root,
                0x04 => inode.gid == 0 && grants,
                0x08 => names_root && grants,
                tag => tag == 0x20,
            }
        });
        if answers {
            Ok(())
        } else {
            Err(Errno::EIO)
        }
    }
}

/// The VFS decodes a stored ACL (version 2: header of 4 bytes, entries of tag, permissions and id) and encodes what
/// it understood: entries that need no id show none.
pub(super) fn shown(stored: &[u8]) -> Result<Vec<u8>, Errno> {
    let (version, entries) = stored.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
    if *version != [2, 0, 0, 0] {
        return Err(Errno::EOPNOTSUPP);
    }
    if entries.len() % 8 != 0 {
        return Err(Errno::EINVAL);
    }
    if entries.is_empty() {
        return Err(Errno::ENODATA);
    }
    let mut shown = version.to_vec();
    for entry in entries.chunks_exact(8) {
        let (head, id) = entry.split_at(4);
        shown.extend_from_slice(head);
        match (head[0], head[1]) {
            (0x01 | 0x04 | 0x10 | 0x20, 0) => shown.extend([0xff; 4]),
            (0x02 | 0x08, 0) if id != [0xff; 4] => shown.extend_from_slice(id),
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(shown)
}
