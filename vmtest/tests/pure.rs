// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The pure crate against the model: two readers that share no code must see the same tree in the same bytes, also
//! when the bytes are damaged.

use ondine_model::observation::{diff_outcomes, Difference, Errno, Facet, Observation, Scope};
use ondine_model::observe::Options;
use ondine_model::read;
use ondine_model::write::gallery::gallery;
use ondine_model::write::{Image, Site};
use vmtest::observe::pure;

/// Damaged images are tried for this many times; `ONDINE_DAMAGES` asks for more.
const DAMAGES: u64 = 3000;

/// A damaged image may claim anything of its sizes.
fn limits() -> Options {
    Options {
        bytes: 32 << 20,
        file_bytes: 8 << 20,
        paths: 2000,
        ..Options::default()
    }
}

fn seen_by_pure(image: &Image, options: &Options) -> Result<Observation, Errno> {
    let blobs: Vec<&dyn read::Store> = image.blobs.iter().map(|blob| blob as _).collect();
    let page_size = 4096.max(1 << image.block_bits);
    let mount = pure::Mount::new(&image.primary, &blobs, page_size)?;
    Ok(mount.observe(options))
}

fn seen_by_model(image: &Image, options: &Options) -> Result<Observation, Errno> {
    let mount = image.open().map_err(|fault| fault.errno)?;
    Ok(mount.observe_with(options))
}

#[test]
fn every_exhibit_is_seen_as_it_was_made() {
    let options = Options {
        file_bytes: 64 << 20,
        ..Options::default()
    };
    for exhibit in gallery() {
        let image = exhibit.image().expect("an exhibit can be written");
        let pure = seen_by_pure(&image, &options);
        let model = seen_by_model(&image, &options);
        let scope = Scope::all("pure", "model");
        let differences = diff_outcomes(&pure, &model, &scope);
        assert_eq!(differences, [], "{}", exhibit.name);
        if !exhibit.is_huge() {
            let expected = Ok(exhibit.expected());
            let whole = seen_by_pure(&image, &Options::default());
            let scope = Scope::all("pure", "the tree");
            let differences = diff_outcomes(&whole, &expected, &scope);
            assert_eq!(differences, [], "{}", exhibit.name);
        }
    }
}

/// Numbers without meaning, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Gives one field another value, or cuts a device short; says what was done.
fn damage(image: &mut Image, fields: &[&'static str], noise: &mut Noise) -> String {
    if noise.below(40) == 0 {
        let device = noise.below(image.blobs.len() + 1) as u16;
        let store = image.device_mut(device).expect("it was counted");
        let len = noise.next() % (store.len() + 1);
        store.set_len(len);
        return format!("device {device} cut to {len} bytes");
    }
    // Every kind of field is as likely as any other, however many there are of it.
    let field = fields[noise.below(fields.len())];
    let sites: Vec<&Site> = image.sites.iter().filter(|s| s.field == field).collect();
    let site = sites[noise.below(sites.len())].clone();
    let store = image
        .device_mut(site.device)
        .expect("sites are on their devices");
    let width = usize::from(site.width);
    if site.offset + width as u64 > store.len() {
        return format!("{field} is cut off");
    }
    let old = store.bytes(site.offset, width);
    let mut word = [0; 8];
    word[..width].copy_from_slice(&old);
    let old = u64::from_le_bytes(word);
    let new = match noise.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(1),
        3 => old.wrapping_sub(1),
        4 => old ^ 1 << noise.below(width * 8),
        5 => 1 << noise.below(width * 8),
        6 => noise.next() & 0xffff,
        _ => noise.next(),
    };
    store.write_at(site.offset, &new.to_le_bytes()[..width]);
    format!("{field} at {:#x}: {old:#x} becomes {new:#x}", site.offset)
}

/// Whether an extent of this file passes an edge of a device's unified range.
fn crosses_range(image: &read::Image, path: &[u8]) -> bool {
    let Ok(inode) = image.resolve(path) else {
        return false;
    };
    let bs = image.superblock().block_size();
    let slots = &image.devices().slots;
    let crosses = |extent: read::Extent| {
        let read::Source::Device { id, at } = extent.source else {
            return false;
        };
        let end = (at + (extent.end - extent.start)).next_multiple_of(bs);
        match usize::from(id).checked_sub(1) {
            None => slots
                .iter()
                .any(|slot| (at + 1..end).contains(&(slot.unified * bs))),
            Some(n) => slots[n].unified != 0 && end > slots[n].blocks * bs,
        }
    };
    let crossed = image.extents(&inode).flatten().any(crosses);
    crossed
}

/// Differences that are decided: each byte has a device of its own in the crate, in the model the first byte of an
/// extent decides for all.
fn is_decided(image: &read::Image, difference: &Difference) -> bool {
    let facets = [Facet::Content, Facet::Names, Facet::Target];
    facets.contains(&difference.facet) && crosses_range(image, difference.path.as_bytes())
}

#[test]
fn damaged_images_are_refused_alike() {
    let exhibits: Vec<(&str, Image)> = gallery()
        .iter()
        .filter(|exhibit| !exhibit.is_huge())
        .map(|exhibit| {
            let image = exhibit.image().expect("an exhibit can be written");
            (exhibit.name, image)
        })
        .collect();
    let count = std::env::var("ONDINE_DAMAGES");
    let count = count.map_or(DAMAGES, |count| count.parse().expect("a number"));
    let seed = std::env::var("ONDINE_SEED");
    let seed = seed.map_or(0, |seed| seed.parse().expect("a number"));
    let mut failures = Vec::new();
    for case in seed..seed + count {
        let mut noise = Noise(case << 32);
        let (name, sound) = &exhibits[noise.below(exhibits.len())];
        let mut image = sound.clone();
        let mut fields: Vec<_> = image.sites.iter().map(|site| site.field).collect();
        fields.sort_unstable();
        fields.dedup();
        let mut done = Vec::new();
        for _ in 0..1 + noise.below(3) {
            done.push(damage(&mut image, &fields, &mut noise));
        }
        if noise.below(8) != 0 {
            image.reseal();
        }

        let options = limits();
        let pure = seen_by_pure(&image, &options);
        let model = seen_by_model(&image, &options);
        let scope = Scope::all("pure", "model");
        let mut differences = diff_outcomes(&pure, &model, &scope);
        if let Ok(mount) = image.open() {
            differences.retain(|difference| !is_decided(&mount, difference));
        }
        if !differences.is_empty() {
            let sentences: Vec<_> = differences.iter().map(|d| d.to_string()).collect();
            let shown = sentences.join("\n  ");
            failures.push(format!("case {case}: {name}: {done:?}\n  {shown}"));
        }
        if failures.len() == 20 {
            break;
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
