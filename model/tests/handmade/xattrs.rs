// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Extended attributes (docs/spec/erofs-format.md section 9).

use ondine_model::observation::{Errno, Text};
use ondine_model::read::Result;
use ondine_model::strictness::Defect;

use crate::bytes::{row, Bytes, BLOCK, ROOT, SUPERBLOCK};

const FILE: u16 = 0o100_644;
/// Header of the attribute area of inode 8.
const AREA: usize = BLOCK + 8 * 32 + 32;
/// The shared area, in block 3.
const SHARED: usize = 3 * BLOCK;

fn entry(index: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![name.len() as u8, index];
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(name);
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Inode 8 with inline entries.
fn with(entries: &[Vec<u8>]) -> Bytes {
    let mut image = Bytes::new(4);
    let area = entries.concat();
    image.u32(SUPERBLOCK + 44, 3);
    image
        .compact(8, 0, FILE, 0, 0)
        .u16(Bytes::slot(8) + 2, (area.len() / 4 + 1) as u16)
        .put(AREA + 12, &area);
    image
}

fn list(image: &Bytes) -> Result<Vec<String>> {
    let (opened, inode) = image.inode(8);
    let names = opened.listxattr(&inode.expect("it loads"))?;
    Ok(names.iter().map(Text::to_string).collect())
}

fn get(image: &Bytes, name: &str) -> std::result::Result<Vec<u8>, Errno> {
    let (opened, inode) = image.inode(8);
    opened
        .getxattr(&inode.expect("it loads"), name.as_bytes())
        .map_err(|fault| fault.errno)
}

#[test]
fn every_namespace_has_its_index() {
    let acl = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff";
    let image = with(&[
        entry(1, b"a", b"1"),
        entry(2, b"", acl),
        entry(4, b"b", b""),
        entry(5, b"lov", b"never"),
        entry(6, b"c", b"three"),
        entry(9, b"d", b"skipped"),
        entry(0x80, b"e", b"no such prefix"),
    ]);
    assert_eq!(
        list(&image).expect("sound"),
        [
            "user.a",
            "system.posix_acl_access",
            "trusted.b",
            "security.c"
        ]
    );
    assert_eq!(get(&image, "user.a"), Ok(b"1".to_vec()));
    assert_eq!(get(&image, "system.posix_acl_access"), Ok(acl.to_vec()));
    assert_eq!(get(&image, "trusted.b"), Ok(Vec::new()));
    assert_eq!(get(&image, "security.c"), Ok(b"three".to_vec()));
    assert_eq!(get(&image, "system.posix_acl_default"), Err(Errno::ENODATA));
    assert_eq!(get(&image, "user.d"), Err(Errno::ENODATA));
    assert_eq!(get(&image, "user."), Err(Errno::EINVAL));
    assert_eq!(get(&image, "lustre.lov"), Err(Errno::EOPNOTSUPP));
    let long = |suffix| get(&image, &format!("user.{}", "x".repeat(suffix)));
    assert_eq!(long(250), Err(Errno::ENODATA));
    assert_eq!(long(251), Err(Errno::ERANGE), "with its namespace");
    assert_eq!(get(&image, ""), Err(Errno::ERANGE));
}

#[test]
fn the_area_is_checked_at_the_first_access() {
    let mut image = with(&[]);
    image.u16(Bytes::slot(8) + 2, 0);
    assert_eq!(list(&image).expect("none"), Vec::<String>::new());
    image.u16(Bytes::slot(8) + 2, 1);
    assert_eq!(row(list(&image)), Defect::XattrCountOne);
    image.u16(Bytes::slot(8) + 2, 2).put(AREA + 4, &[2]);
    assert_eq!(row(list(&image)), Defect::XattrSharedCount);
    image.u16(Bytes::slot(8) + 2, u16::MAX);
    assert_eq!(row(list(&image)), Defect::MetadataBeyondImage);
    let mut image = with(&[entry(1, b"a", b"12345678")]);
    image.u16(Bytes::slot(8) + 2, 4);
    assert_eq!(row(list(&image)), Defect::XattrEntry);
}

#[test]
fn inline_comes_before_shared() {
    // The id of a shared attribute, followed by an inline one of the same name.
    let mut image = with(&[2u32.to_le_bytes().to_vec(), entry(1, b"a", b"inline")]);
    image
        .put(AREA + 4, &[1])
        .put(SHARED + 8, &entry(1, b"a", b"shared"));
    assert_eq!(list(&image).expect("sound"), ["user.a", "user.a"]);
    assert_eq!(get(&image, "user.a"), Ok(b"inline".to_vec()));
}

#[test]
fn a_shared_attribute_is_at_the_offset_of_its_id() {
    let mut image = with(&[]);
    image
        .u16(Bytes::slot(8) + 2, 3)
        .put(AREA + 4, &[2])
        .u32(AREA + 12, 2)
        .u32(AREA + 16, 10);
    image
        .put(SHARED + 8, &entry(1, b"a", b"first"))
        .put(SHARED + 40, &entry(1, b"a", b"second"));
    assert_eq!(list(&image).expect("sound"), ["user.a", "user.a"]);
    assert_eq!(get(&image, "user.a"), Ok(b"first".to_vec()));
    image.u32(AREA + 12, 1 << 20);
    assert_eq!(row(list(&image)), Defect::XattrBeyondImage);
    assert_eq!(get(&image, "user.a"), Err(Errno::EIO));
    image.0[SUPERBLOCK + 8] = 8;
    assert_eq!(row(list(&image)), Defect::XattrNeedsMetabox);
}

#[test]
fn a_search_reads_no_more_than_it_needs() {
    // The second of three shared attributes has a value beyond the end of the image.
    let mut image = with(&[]);
    image.u16(Bytes::slot(8) + 2, 4).put(AREA + 4, &[3]);
    for (k, id) in [0, BLOCK / 4 - 4, 10].into_iter().enumerate() {
        image.u32(AREA + 12 + 4 * k, id as u32);
    }
    image
        .put(SHARED, &entry(1, b"a", b"first"))
        .put(SHARED + BLOCK - 16, b"\x01\x01\xff\0b")
        .put(SHARED + 40, &entry(1, b"c", b"third"));
    assert_eq!(list(&image).expect("sound"), ["user.a", "user.b", "user.c"]);
    assert_eq!(get(&image, "user.a"), Ok(b"first".to_vec()));
    assert_eq!(get(&image, "user.b"), Err(Errno::EIO));
    assert_eq!(get(&image, "user.c"), Ok(b"third".to_vec()));
}

#[test]
fn damage_after_the_attribute_that_was_found_is_ignored() {
    let mut image = with(&[entry(1, b"a", b"1"), entry(1, b"b", b"2")]);
    image.u16(AREA + 12 + 8 + 2, 200);
    assert_eq!(get(&image, "user.a"), Ok(b"1".to_vec()));
    assert_eq!(get(&image, "user.b"), Err(Errno::EUCLEAN));
    assert_eq!(row(list(&image)), Defect::XattrEntry);
}

#[test]
fn the_filter_hides_from_get_and_not_from_list() {
    let mut image = with(&[entry(1, b"a", b"1")]);
    image.u32(AREA, u32::MAX);
    assert_eq!(
        get(&image, "user.a"),
        Ok(b"1".to_vec()),
        "without its feature bit it is ignored"
    );
    image.0[SUPERBLOCK + 8] = 4;
    assert_eq!(get(&image, "user.a"), Err(Errno::ENODATA));
    assert_eq!(list(&image).expect("sound"), ["user.a"]);
    image.0[SUPERBLOCK + 104] = 1;
    assert_eq!(
        get(&image, "user.a"),
        Ok(b"1".to_vec()),
        "a reserved byte turns it off"
    );
}

#[test]
fn a_long_prefix_is_part_of_the_name() {
    let mut image = with(&[entry(0x80, b"opaque", b"y"), entry(0x81, b"z", b"")]);
    image.0[SUPERBLOCK + 91] = 2;
    image.u32(SUPERBLOCK + 92, (SHARED / 4) as u32);
    image
        .u16(SHARED, 9)
        .put(SHARED + 2, b"\x04overlay.")
        .u16(SHARED + 12, 1)
        .put(SHARED + 14, b"\x63");
    assert_eq!(list(&image).expect("sound"), ["trusted.overlay.opaque"]);
    assert_eq!(get(&image, "trusted.overlay.opaque"), Ok(b"y".to_vec()));
}

/// Inode 8 with these entries, in the root directory, owned by user 7.
fn foreign(mode: u16, entries: &[Vec<u8>]) -> Bytes {
    let mut image = with(entries);
    image
        .directory(2, &[(".", ROOT), ("..", ROOT), ("f", 8)])
        .u16(Bytes::slot(8) + 4, mode)
        .u16(Bytes::slot(8) + 24, 7);
    image
}

/// Result of opening `/f`.
fn opened(image: &Bytes) -> std::result::Result<(), Errno> {
    let seen = image.open().expect("it mounts").observe();
    let entry = &seen.entries[&Text::from(&b"f"[..])];
    entry.content.clone().expect("a file").map(drop)
}

#[test]
fn a_file_whose_acl_cannot_be_read_opens_for_its_owner_alone() {
    let damaged = |mode| {
        let mut image = foreign(mode, &[entry(1, b"a", b"1")]);
        image.u16(AREA + 12 + 2, 200);
        image
    };
    assert_eq!(opened(&damaged(FILE)), Err(Errno::EUCLEAN));
    // Without group permissions there can be no ACL.
    assert_eq!(opened(&damaged(0o100_606)), Ok(()));
    let mut own = damaged(FILE);
    own.u16(Bytes::slot(8) + 24, 0);
    assert_eq!(opened(&own), Ok(()));
    let mut without = damaged(FILE);
    without.u16(Bytes::slot(8) + 2, 0);
    assert_eq!(opened(&without), Ok(()));
    without.u16(Bytes::slot(8) + 2, 1);
    assert_eq!(opened(&without), Err(Errno::EOPNOTSUPP));
}

#[test]
fn an_acl_must_apply_to_every_user() {
    let owner = b"\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff".to_vec();
    let others = [&owner[..], b"\x20\0\0\0\xff\xff\xff\xff"].concat();
    let user = entry(1, b"a", b"1");
    let image = foreign(FILE, &[entry(2, b"", &others), user.clone()]);
    assert_eq!(opened(&image), Ok(()), "root is not bound by a no");
    assert_eq!(get(&image, "user.a"), Ok(b"1".to_vec()));
    let image = foreign(FILE, &[entry(2, b"", &owner), user]);
    assert_eq!(opened(&image), Err(Errno::EIO));
    assert_eq!(get(&image, "user.a"), Err(Errno::EIO));
    assert_eq!(get(&image, "system.posix_acl_access"), Ok(owner));
}

#[test]
fn a_directory_whose_acl_cannot_be_read_is_neither_listed_nor_searched() {
    let mut image = foreign(0o040_755, &[entry(2, b"", b"no ACL")]);
    image
        .u32(Bytes::slot(8) + 8, BLOCK as u32)
        .u32(Bytes::slot(8) + 16, 2);
    let seen = image.open().expect("it mounts").observe();
    let listing = seen.entries[&Text::from(&b"f"[..])].listing.as_ref();
    let listing = listing.expect("a directory");
    assert_eq!(listing.names, []);
    assert_eq!(listing.ended, Some(Errno::EOPNOTSUPP));
}

#[test]
fn vfs_rules_apply_to_links() {
    let mut image = with(&[
        entry(1, b"a", b"1"),
        entry(4, b"b", b"2"),
        entry(2, b"", b"acl"),
    ]);
    image.u16(Bytes::slot(8) + 4, 0o120_777);
    assert_eq!(list(&image).expect("sound").len(), 3);
    assert_eq!(get(&image, "user.a"), Err(Errno::ENODATA));
    assert_eq!(get(&image, "trusted.b"), Ok(b"2".to_vec()));
    assert_eq!(
        get(&image, "system.posix_acl_access"),
        Err(Errno::EOPNOTSUPP)
    );
}
