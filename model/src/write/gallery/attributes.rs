// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Sample images with extended attributes (docs/spec/erofs-format.md section 9).

use super::trees::{directory, file, link};
use super::{sample_image, SampleImage};
use crate::tree::{acl, AclEntry, Layout, Tree};
use crate::write::{ImageOptions, LongPrefix, PrefixPlace, SharedXattrs};

pub(super) fn samples() -> Vec<SampleImage> {
    let base = ImageOptions::default();
    let small = ImageOptions::with_block_bits(9);
    let shared = |place| ImageOptions {
        shared_xattrs: place,
        ..base.clone()
    };
    let prefixed = |prefix_place| ImageOptions {
        prefixes: prefixes(),
        prefix_place,
        filter: true,
        ..base.clone()
    };
    vec![
        sample_image(
            "xattr-inline",
            "inline attributes of every prefix and size",
            attributes(),
            base.clone(),
        ),
        sample_image(
            "xattr-inline-512",
            "the same in blocks of 512 bytes",
            attributes(),
            small.clone(),
        ),
        sample_image(
            "xattr-shared",
            "attributes of several inodes stored once",
            attributes(),
            shared(SharedXattrs::Primary),
        ),
        sample_image(
            "xattr-lead",
            "the base of shared ids is some blocks before the first",
            attributes(),
            ImageOptions {
                shared_xattrs: SharedXattrs::Primary,
                xattr_lead: 2,
                ext_slots: 180,
                ..small.clone()
            },
        ),
        sample_image(
            "xattr-filter",
            "name filters",
            attributes(),
            ImageOptions {
                filter: true,
                ..base.clone()
            },
        ),
        sample_image(
            "xattr-filter-reserved",
            "name filters that hide everything and must be ignored",
            attributes(),
            ImageOptions {
                filter: true,
                filter_reserved: 1,
                ..base.clone()
            },
        ),
        sample_image(
            "prefix-plain",
            "long prefixes on the primary device",
            attributes(),
            prefixed(PrefixPlace::Plain),
        ),
        sample_image(
            "prefix-packed",
            "long prefixes in the packed inode",
            attributes(),
            prefixed(PrefixPlace::Packed),
        ),
        sample_image(
            "prefix-fallback",
            "long prefixes on the primary device for want of another place",
            attributes(),
            prefixed(PrefixPlace::Fallback),
        ),
        sample_image(
            "prefix-many",
            "128 long prefixes, shared attributes, filters",
            attributes(),
            ImageOptions {
                prefixes: many_prefixes(),
                shared_xattrs: SharedXattrs::Primary,
                filter: true,
                ..small
            },
        ),
        sample_image(
            "acl",
            "access and default ACLs",
            acls(),
            ImageOptions {
                filter: true,
                ..base.clone()
            },
        ),
        sample_image(
            "acl-shared",
            "the same ACLs, stored once",
            acls(),
            ImageOptions {
                shared_xattrs: SharedXattrs::Primary,
                ..base.clone()
            },
        ),
        sample_image("xattr-large", "values up to 65535 bytes", large(), base),
    ]
}

fn attributes() -> Tree {
    let mut tree = Tree::default();
    for number in 0..24_usize {
        let mut node = file(number as u64, 40 * number as u64, &Layout::inline())
            .with_xattr("user.same", "everywhere")
            .with_xattr("security.ondine", b"a label\0")
            .with_xattr("user.alpha.beta.gamma", "one prefix is longer")
            .with_xattr("user.alpha.", "")
            .with_xattr("user.alpha", "no prefix fits")
            .with_xattr(
                format!("trusted.number-{number}"),
                vec![number as u8; number * 17],
            );
        if number % 2 == 1 {
            let name = format!("user.{}", "n".repeat(250));
            node = node
                .with_xattr(name, vec![0xee; number])
                .with_layout(Layout::plain().extended());
        }
        tree.add(Tree::ROOT, format!("file-{number}"), node);
    }
    let marked = link(30, &Layout::inline()).with_xattr("trusted.same", "of a link");
    tree.add(Tree::ROOT, "link", marked);
    let sub = directory(&Layout::inline()).with_xattr("user.same", "everywhere");
    tree.add(Tree::ROOT, "sub", sub);
    // 2 + 4 * 48 + ... names: more attributes than fit into a block of 512 bytes.
    let mut many = file(1, 10, &Layout::inline());
    for number in 0..300 {
        many = many.with_xattr(format!("user.many.{number}"), format!("{}", number / 2));
    }
    tree.add(Tree::ROOT, "many", many.clone());
    tree.add(Tree::ROOT, "many-again", many);
    tree
}

fn prefix(base: u8, infix: impl Into<Vec<u8>>) -> LongPrefix {
    LongPrefix {
        base,
        infix: infix.into(),
    }
}

fn prefixes() -> Vec<LongPrefix> {
    vec![
        prefix(1, "alpha."),
        prefix(1, "alpha.beta."),
        prefix(4, "number-"),
        prefix(6, ""),
        prefix(1, "n".repeat(200)),
        prefix(1, "never.used."),
    ]
}

fn many_prefixes() -> Vec<LongPrefix> {
    let mut all: Vec<LongPrefix> = (0..122)
        .map(|n| prefix(1, format!("unused.{n}.")))
        .collect();
    all.extend(prefixes());
    all
}

fn acls() -> Tree {
    let mut tree = Tree::default();
    let entries = [
        AclEntry::User(1000, 6),
        AclEntry::User(70_000, 4),
        AclEntry::Group(50, 1),
    ];
    let value = acl(0o750, &entries);
    let mut file =
        file(1, 100, &Layout::inline()).with_xattr("system.posix_acl_access", value.clone());
    file.permissions = 0o750;
    tree.add(Tree::ROOT, "file", file.clone());
    tree.add(Tree::ROOT, "same", file);
    let mut sub = directory(&Layout::inline())
        .with_xattr("system.posix_acl_access", value.clone())
        .with_xattr("system.posix_acl_default", value)
        .with_xattr("user.more", "than the lists");
    sub.permissions = 0o750;
    tree.add(Tree::ROOT, "sub", sub);
    tree
}

fn large() -> Tree {
    let mut tree = Tree::default();
    for size in [4000, 4084, 4096, 10_000, 65_535] {
        let node =
            file(size, 500, &Layout::inline()).with_xattr("user.large", vec![b'L'; size as usize]);
        tree.add(Tree::ROOT, format!("file-{size}"), node);
    }
    let mut full = file(1, 3, &Layout::plain());
    for name in ["a", "b", "c"] {
        full = full.with_xattr(format!("user.{name}"), vec![b'F'; 65_535]);
    }
    tree.add(Tree::ROOT, "nearly-full", full);
    tree
}
