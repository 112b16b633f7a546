// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The reader's observation of every sample image.

use std::collections::BTreeSet;

use ondine_model::observation::{diff, Scope};
use ondine_model::write::{gallery, PlacedData, SampleImage};

/// Differences between a sample and the reader's observation, as sentences.
fn faults(sample: &SampleImage) -> Vec<String> {
    let image = match sample.image() {
        Ok(image) => image,
        Err(error) => return vec![format!("cannot be written: {error}")],
    };
    let seen = match image.open() {
        Ok(reader) => reader.observe(),
        Err(fault) => return vec![format!("does not mount: {fault}")],
    };
    let differences = diff(
        &sample.expected(),
        &seen,
        &Scope::all("the tree", "the model"),
    );
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn the_reader_sees_every_sample_as_described() {
    let mut failures = Vec::new();
    for sample in gallery() {
        for fault in faults(&sample).into_iter().take(3) {
            failures.push(format!("{}: {fault}", sample.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn samples_have_unique_names_and_moderate_size() {
    let all = gallery();
    let names: BTreeSet<&str> = all.iter().map(|sample| sample.name).collect();
    assert_eq!(names.len(), all.len());
    for sample in &all {
        let image = sample.image().expect(sample.name);
        let longest = image.longest_device();
        let huge = longest > 1 << 30;
        assert_eq!(
            huge,
            sample.is_huge(),
            "{} has {longest:?} bytes",
            sample.name
        );
    }
}

#[test]
fn the_gallery_shows_every_layout_and_form() {
    let mut data = BTreeSet::new();
    let (mut straddling, mut metabox) = (0, 0);
    for sample in gallery() {
        for placed in sample.image().expect(sample.name).placed {
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
                "no sample has an inode that is {wanted}"
            );
        }
    }
    assert!(straddling > 10 && metabox > 50);
}
