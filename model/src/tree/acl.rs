// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Values of `system.posix_acl_access` and `system.posix_acl_default`, which are the same in user
//! space and in the image.

/// The only version of the format.
const VERSION: u32 = 2;
/// Id of entries that need none.
const NO_ID: u32 = u32::MAX;

/// A named entry of an access control list: id and permissions (4 read, 2 write, 1 execute).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AclEntry {
    /// Permissions of one user.
    User(u32, u16),
    /// Permissions of one group.
    Group(u32, u16),
}

/// Encodes an ACL that matches the permission bits `mode`: owner and others as given, the mask in
/// place of the group, and named entries in the order that the kernel requires.
pub fn acl(mode: u16, named: &[AclEntry]) -> Vec<u8> {
    let mut users: Vec<(u32, u16)> = Vec::new();
    let mut groups: Vec<(u32, u16)> = Vec::new();
    for entry in named {
        match *entry {
            AclEntry::User(id, permissions) => users.push((id, permissions)),
            AclEntry::Group(id, permissions) => groups.push((id, permissions)),
        }
    }
    for list in [&mut users, &mut groups] {
        list.sort_unstable();
        list.dedup_by_key(|entry| entry.0);
    }
    let mask = mode >> 3 & 7;
    let mut entries = vec![(0x01_u16, mode >> 6 & 7, NO_ID)];
    entries.extend(
        users
            .into_iter()
            .map(|(id, permissions)| (0x02, permissions & 7, id)),
    );
    entries.push((0x04, mask, NO_ID));
    entries.extend(
        groups
            .into_iter()
            .map(|(id, permissions)| (0x08, permissions & 7, id)),
    );
    entries.push((0x10, mask, NO_ID));
    entries.push((0x20, mode & 7, NO_ID));
    let mut value = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}
