// SPDX-License-Identifier: GPL-2.0

use ondine_erofs::xattr::{self, SCRATCH};
use ondine_erofs::{Defect, Error, Prefix, PrefixTable};

use crate::image::{Image, Node, PLAIN, REG};

const NID: u64 = 128;
const PREFIXES: [Prefix<'static>; 2] = [
    Prefix {
        base_index: 1,
        infix: b"long.",
    },
    Prefix {
        base_index: 9,
        infix: b"",
    },
];

fn entry(index: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![name.len() as u8, index];
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(name);
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// An inode with the given attributes. Shared entries are put at byte 8192.
fn image(filter: u32, shared: &[u32], inline: &[Vec<u8>], table: &[Vec<u8>]) -> Image {
    let mut area = filter.to_le_bytes().to_vec();
    area.extend([shared.len() as u8, 9, 9, 9, 9, 9, 9, 9]);
    area.extend(shared.iter().flat_map(|id| id.to_le_bytes()));
    area.extend(inline.concat());
    let node = Node {
        icount: ((area.len() - 12) / 4 + 1) as u16,
        ..Node::new(PLAIN, REG, 0)
    };
    let mut image = Image::new(12, 90_000);
    image.put(4096, &node.bytes()).put(4128, &area);
    image.put(8192, &table.concat());
    image.sb(44, &2u32.to_le_bytes());
    image
}

fn get(image: &Image, index: u8, name: &[u8]) -> Result<Vec<u8>, Error<()>> {
    let sb = image.super_block();
    let inode = image.inode(NID).unwrap();
    let table: &[Prefix<'_>] = &PREFIXES;
    let size = xattr::get(image, &sb, &inode, table, index, name, None)?;
    let mut value = vec![0; size];
    let again = xattr::get(image, &sb, &inode, table, index, name, Some(&mut value))?;
    assert_eq!(again, size);
    if let Some(less) = size.checked_sub(1) {
        let short = Some(&mut value[..less]);
        let short = xattr::get(image, &sb, &inode, table, index, name, short);
        assert_eq!(short, Err(Error::Defect(Defect::AttributeRange)));
    }
    xattr::get(image, &sb, &inode, table, index, name, Some(&mut value))?;
    Ok(value)
}

type Names = Result<Vec<(u8, Vec<u8>)>, Error<()>>;

fn list<P: PrefixTable + ?Sized>(image: &Image, prefixes: &P) -> Names {
    let sb = image.super_block();
    let inode = image.inode(NID).unwrap();
    let mut names = Vec::new();
    let mut scratch = [0; SCRATCH];
    xattr::list(image, &sb, &inode, prefixes, &mut scratch, |name| {
        names.push((name.index, [name.infix, name.suffix].concat()));
        Ok(())
    })?;
    Ok(names)
}

fn refused<T>(defect: Defect) -> Result<T, Error<()>> {
    Err(Error::Defect(defect))
}

#[test]
fn no_area() {
    let mut image = Image::new(12, 8192);
    image.put(4096, &Node::new(PLAIN, REG, 0).bytes());
    assert_eq!(get(&image, 1, b"a"), refused(Defect::NoAttribute));
    assert_eq!(list(&image, &()), Ok(Vec::new()));
}

#[test]
fn a_header_alone() {
    let image = image(0, &[], &[], &[]);
    assert_eq!(get(&image, 1, b"a"), refused(Defect::XattrHeaderOnly));
    assert_eq!(list(&image, &()), refused(Defect::XattrHeaderOnly));
}

#[test]
fn inline_then_shared_and_the_first_wins() {
    let long = vec![b'n'; 255];
    let shared = [
        entry(1, b"a", b"shared"),
        entry(6, b"capability", b"cap"),
        entry(4, &long, &[7; 1000]),
    ];
    let second = shared[0].len() as u32 / 4;
    let third = second + shared[1].len() as u32 / 4;
    let inline = [
        entry(1, b"a", b"inline"),
        entry(1, b"a", b"again"),
        entry(1, b"empty", b""),
        entry(2, b"", b"acl"),
    ];
    let image = image(0, &[0, second, third], &inline, &shared);
    assert_eq!(get(&image, 1, b"a"), Ok(b"inline".to_vec()));
    assert_eq!(get(&image, 1, b"empty"), Ok(Vec::new()));
    assert_eq!(get(&image, 2, b""), Ok(b"acl".to_vec()));
    assert_eq!(get(&image, 6, b"capability"), Ok(b"cap".to_vec()));
    assert_eq!(get(&image, 4, &long), Ok(vec![7; 1000]));
    for (index, name) in [
        (1, &b"b"[..]),
        (1, b""),
        (1, b"aa"),
        (6, b"a"),
        (3, b""),
        (4, &long[1..]),
    ] {
        assert_eq!(get(&image, index, name), refused(Defect::NoAttribute));
    }
    let names = list(&image, &()).unwrap();
    let indexes: Vec<u8> = names.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [1, 1, 1, 2, 1, 6, 4]);
    assert_eq!(names[6].1, long);
}

#[test]
fn long_prefixes() {
    let inline = [
        entry(0x80, b"x", b"1"),
        entry(0x81, b"y", b"2"),
        entry(0x82, b"z", b"3"),
        entry(0xff, b"z", b"4"),
        entry(5, b"lustre", b"5"),
        entry(0, b"none", b"6"),
        entry(1, b"long.", b"7"),
    ];
    let image = image(0, &[], &inline, &[]);
    assert_eq!(get(&image, 1, b"long.x"), Ok(b"1".to_vec()));
    assert_eq!(get(&image, 1, b"long."), Ok(b"7".to_vec()));
    for (index, name) in [
        (1, &b"x"[..]),
        (1, b"long"),
        (1, b"lon"),
        (9, b"y"),
        (5, b"lustre"),
        (0, b"none"),
    ] {
        assert_eq!(get(&image, index, name), refused(Defect::NoAttribute));
    }
    let table: &[Prefix<'_>] = &PREFIXES;
    let seen = [(1, b"long.x".to_vec()), (1, b"long.".to_vec())];
    assert_eq!(list(&image, table), Ok(seen.to_vec()));
    assert_eq!(list(&image, &()), Ok(seen[1..].to_vec()));
}

#[test]
fn a_name_of_256_bytes() {
    let image = image(0, &[], &[entry(1, b"a", b"")], &[]);
    let name = [b'a'; 256];
    assert_eq!(get(&image, 1, &name), refused(Defect::AttributeRange));
}

#[test]
fn the_filter_hides() {
    let entries = [entry(2, b"", b"acl"), entry(3, b"", b"default")];
    for (compat, filter, hidden) in [
        (4, 1 << 30, true),
        (4, u32::MAX, true),
        (4, !(1 << 30), false),
        (4, 0, false),
        (0, u32::MAX, false),
    ] {
        let mut image = image(filter, &[], &entries, &[]);
        image.compat(compat);
        let got = get(&image, 2, b"");
        assert_eq!(got.is_err(), hidden, "{compat} {filter:#x}");
        // Listing does not use the filter.
        assert_eq!(list(&image, &()).unwrap().len(), 2);
    }
}

#[test]
fn counts_and_sizes_must_fit() {
    // A single shared id fits exactly; two do not.
    let mut one = image(0, &[0], &[], &[entry(1, b"a", b"v")]);
    assert_eq!(get(&one, 1, b"a"), Ok(b"v".to_vec()));
    one.put(4128 + 4, &[2]);
    assert_eq!(get(&one, 1, b"a"), refused(Defect::XattrSharedCount));
    assert_eq!(list(&one, &()), refused(Defect::XattrSharedCount));

    // An inline value one byte too long for its area.
    let mut over = image(0, &[], &[entry(1, b"a", b"123")], &[]);
    assert_eq!(get(&over, 1, b"a"), Ok(b"123".to_vec()));
    over.put(4128 + 12 + 2, &[4]);
    assert_eq!(get(&over, 1, b"a"), refused(Defect::XattrOverrun));
    assert_eq!(list(&over, &()), refused(Defect::XattrOverrun));
}

#[test]
fn shared_entries_outside() {
    let far = image(0, &[u32::MAX], &[], &[]);
    assert_eq!(get(&far, 1, b"a"), refused(Defect::OutsideImage));
    let mut box_less = image(0, &[0], &[], &[]);
    box_less.compat(8);
    assert_eq!(get(&box_less, 1, b"a"), refused(Defect::NoMetabox));

    let mut boxed = image(0, &[0], &[], &[]);
    boxed.compat(8).incompat(0x100).sb(13, &[1]);
    boxed.metabox = [vec![0; 8192], entry(1, b"a", b"box")].concat();
    assert_eq!(get(&boxed, 1, b"a"), Ok(b"box".to_vec()));
}

#[test]
fn a_sink_can_stop() {
    let image = image(0, &[], &[entry(1, b"a", b""), entry(1, b"b", b"")], &[]);
    let sb = image.super_block();
    let inode = image.inode(NID).unwrap();
    let mut calls = 0;
    let mut scratch = [0; SCRATCH];
    let end = xattr::list(&image, &sb, &inode, &(), &mut scratch, |_| {
        calls += 1;
        refused(Defect::AttributeRange)
    });
    assert_eq!((calls, end), (1, refused(Defect::AttributeRange)));
}
