// SPDX-License-Identifier: Apache-2.0 OR MIT

//! POSIX ACLs as getxattr(2) returns them. The VFS decodes the stored value and encodes it again,
//! so user space may see other bytes than the image holds. The rules are those of the VFS
//! (fs/posix_acl.c), not of a file system.

use super::fields::Fields;
use crate::observation::Errno;

const VERSION: u32 = 2;
/// Name index of `system.posix_acl_access`.
pub(super) const ACCESS: u8 = 2;
/// Name index of `system.posix_acl_default`.
pub(super) const DEFAULT: u8 = 3;

/// Bytes before the first entry.
pub(super) const HEADER: usize = 4;
/// Bytes of an entry: u16 tag, u16 permissions (4 read, 2 write, 1 search), u32 id.
pub(super) const ENTRY: usize = 8;

pub(super) const OWNER: u16 = 0x01;
pub(super) const USER: u16 = 0x02;
pub(super) const OWNING_GROUP: u16 = 0x04;
pub(super) const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
pub(super) const OTHERS: u16 = 0x20;

/// Converts a stored ACL to the value that user space reads.
pub(super) fn visible(stored: &[u8]) -> Result<Vec<u8>, Errno> {
    if stored.len() < HEADER {
        return Err(Errno::EINVAL);
    }
    if Fields(stored).u32(0) != VERSION {
        return Err(Errno::EOPNOTSUPP);
    }
    let entries = &stored[HEADER..];
    if entries.len() % ENTRY != 0 {
        return Err(Errno::EINVAL);
    }
    if entries.is_empty() {
        return Err(Errno::ENODATA);
    }
    let mut shown = stored[..HEADER].to_vec();
    for entry in entries.chunks_exact(ENTRY) {
        let id = match Fields(entry).u16(0) {
            // These tags have no id, whatever is stored.
            OWNER | OWNING_GROUP | MASK | OTHERS => u32::MAX,
            USER | GROUP => match Fields(entry).u32(4) {
                u32::MAX => return Err(Errno::EINVAL),
                id => id,
            },
            _ => return Err(Errno::EINVAL),
        };
        shown.extend_from_slice(&entry[..4]);
        shown.extend_from_slice(&id.to_le_bytes());
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permission, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permission.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn ids_are_kept_for_named_entries_only() {
        let stored = acl(&[
            (1, 7, 0),
            (2, 5, 1000),
            (4, 5, 0),
            (0x10, 7, 0),
            (0x20, 4, 0),
        ]);
        let none = u32::MAX;
        let shown = acl(&[
            (1, 7, none),
            (2, 5, 1000),
            (4, 5, none),
            (0x10, 7, none),
            (0x20, 4, none),
        ]);
        assert_eq!(visible(&stored), Ok(shown));
    }

    #[test]
    fn an_invalid_acl_is_refused() {
        assert_eq!(visible(b""), Err(Errno::EINVAL));
        assert_eq!(visible(&1u32.to_le_bytes()), Err(Errno::EOPNOTSUPP));
        assert_eq!(visible(&VERSION.to_le_bytes()), Err(Errno::ENODATA));
        assert_eq!(visible(&acl(&[(3, 7, 0)])), Err(Errno::EINVAL));
        assert_eq!(visible(&acl(&[(8, 7, u32::MAX)])), Err(Errno::EINVAL));
    }
}
