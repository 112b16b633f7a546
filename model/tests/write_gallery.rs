// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The reader sees in every exhibit what was put there.

use std::collections::BTreeSet;

use ondine_model::observation::{diff, Scope};
use ondine_model::write::{gallery, Exhibit, PlacedData};

/// What is wrong with an exhibit, in words.
fn faults(exhibit: &Exhibit) -> Vec<String> {
    let image = match exhibit.image() {
        Ok(image) => image,
        Err(error) => return vec![format!("cannot be written: {error}")],
    };
    let seen = match image.open() {
        Ok(reader) => reader.observe(),
        Err(fault) => return vec![format!("does not mount: {fault}")],
    };
    let differences = diff(
        &exhibit.expected(),
        &seen,
        &Scope::all("the tree", "the model"),
    );
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn the_reader_sees_every_exhibit_as_it_was_made() {
    let mut failures = Vec::new();
    for exhibit in gallery() {
        for fault in faults(&exhibit).into_iter().take(3) {
            failures.push(format!("{}: {fault}", exhibit.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn exhibits_have_names_of_their_own_and_modest_size() {
    let all = gallery();
    let names: BTreeSet<&str> = all.iter().map(|exhibit| exhibit.name).collect();
    assert_eq!(names.len(), all.len());
    for exhibit in &all {
        let image = exhibit.image().expect(exhibit.name);
        let longest = image.longest_device();
        let huge = longest > 1 << 30;
        assert_eq!(
            huge,
            exhibit.is_huge(),
            "{} has {longest:?} bytes",
            exhibit.name
        );
    }
}

#[test]
fn the_gallery_shows_every_layout_and_form() {
    let mut data = BTreeSet::new();
    let (mut straddling, mut metabox) = (0, 0);
    for exhibit in gallery() {
        for placed in exhibit.image().expect(exhibit.name).placed {
            data.insert(format!("{:?} {:?}", placed.inode, placed.data));
            straddling += usize::from(placed.straddles);
            metabox += usize::from(placed.nid >> 63 == 1);
        }
    }
    for inode in ["Compact", "CompactOneLink", "Extended"] {
        for layout in [
            PlacedData::Empty,
            PlacedData::Null,
            PlacedData::Plain,
            PlacedData::Inline,
            PlacedData::Chunked,
        ] {
            let wanted = format!("{inode} {layout:?}");
            assert!(
                data.contains(&wanted),
                "no exhibit has an inode that is {wanted}"
            );
        }
    }
    assert!(straddling > 10 && metabox > 50);
}
