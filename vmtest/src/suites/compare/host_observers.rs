// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The accounts that need no guest, and the terms on which two accounts must agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use ondine_model::observation::{Errno, Observation, Scope, Text};
use ondine_model::observe::Options;
use ondine_model::read::Image;
use ondine_model::strictness::{departures, Reaction};
use vmtest_lab::images::{ExpectedDifferences, ImageSpec};
use vmtest_wire::image::{Backing, Observer, Outcome};

use super::pure_crate;

/// Observations of an image that need no guest.
pub struct Known {
    /// Observation by the reference model.
    pub model: Outcome,
    /// Observation by the pure crate, `ondine_erofs`, which the module is built from.
    pub pure: Outcome,
    /// Observation of the source tree, without the paths that the image leaves out.
    pub source: Option<Observation>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Observes each of `specs` on the host, in parallel on all CPUs.
///
/// # Errors
/// When a file of an image cannot be opened at all.
pub fn known(specs: &[ImageSpec], options: &Options) -> Result<Vec<Known>> {
    // Many images of one tree: the tree is looked at once.
    let mut trees: BTreeMap<&Path, Observation> = BTreeMap::new();
    for root in specs.iter().filter_map(|spec| spec.source.as_deref()) {
        let look = || ondine_model::observe::directory(root, options);
        trees.entry(root).or_insert_with(look);
    }
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Known)>> {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(spec) = specs.get(n) else {
                return Ok(done);
            };
            done.push((n, know(spec, &trees, options)?));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Vec::new();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let done = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a reader of images panicked"))?;
            all.extend(done?);
        }
        Ok(())
    })?;
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, known)| known).collect())
}

fn know(
    spec: &ImageSpec,
    trees: &BTreeMap<&Path, Observation>,
    options: &Options,
) -> Result<Known> {
    let begin = Instant::now();
    for file in std::iter::once(&spec.primary).chain(&spec.devices) {
        std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    }
    let source = spec
        .source
        .as_deref()
        .and_then(|root| trees.get(root))
        .cloned();
    Ok(Known {
        model: Image::observe_files(&spec.primary, &spec.devices, options),
        pure: pure_crate::observe_files(&spec.primary, &spec.devices, options),
        source: source.map(|mut seen| {
            seen.entries
                .retain(|path, _| !leaves_out(&spec.terms, path));
            seen
        }),
        seconds: begin.elapsed().as_secs_f64(),
    })
}

fn leaves_out(terms: &ExpectedDifferences, path: &Text) -> bool {
    terms
        .left_out
        .iter()
        .any(|out| path.as_bytes() == out.as_bytes())
}

/// Returns the facets on which a source tree and its image must agree.
pub fn source_scope(spec: &ImageSpec, reader: &str) -> Scope {
    Scope {
        root_mtime: !(spec.terms.free_root || spec.terms.cut_times),
        mtime: !spec.terms.cut_times,
        ..Scope::source("the source", reader)
    }
}

/// Returns the facets on which the model and a driver must agree.
///
/// The C driver's known departures come from the model's table. Over a block device the kernel's iomap turns
/// every errno into EIO: of file data, and in the C driver also of directories and lookups, which it reads
/// the same way.
pub fn driver_scope(observer: &Observer) -> Scope {
    let mut scope = Scope::all("the model", &observer.to_string());
    if observer.fs == "erofs" {
        for row in departures() {
            if let (Reaction::Refuse(c), Reaction::Refuse(ours)) = (row.c, row.ondine) {
                scope.same_errno.push((ours, c));
            }
        }
    }
    if observer.backing == Backing::Loop {
        let same = if observer.fs == "erofs" {
            &mut scope.same_errno
        } else {
            &mut scope.same_data_errno
        };
        same.push((Errno::EUCLEAN, Errno::EIO));
        same.push((Errno::ENODEV, Errno::EIO));
    }
    scope
}

/// Returns the observers of an image of the matrix, and the reason why others are left out.
pub fn observers(spec: &ImageSpec) -> (Vec<Observer>, Option<&'static str>) {
    let terms = &spec.terms;
    let fails = |o: &Observer| {
        o.fs == "erofs"
            && (terms.not_c.is_some()
                || (terms.not_c_from_file.is_some() && o.backing == Backing::File)
                || (terms.c_once && o.backing == Backing::Loop))
    };
    let all = Observer::all().into_iter().filter(|o| !fails(o)).collect();
    (all, terms.not_c.or(terms.not_c_from_file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen_by(terms: ExpectedDifferences, fs: &str) -> Vec<Backing> {
        let spec = ImageSpec {
            name: String::new(),
            primary: "image".into(),
            devices: Vec::new(),
            options: Vec::new(),
            source: None,
            terms,
            expected: None,
        };
        let all = observers(&spec).0.into_iter();
        let of = |o: Observer| (o.fs == fs).then_some(o.backing);
        all.filter_map(of).collect()
    }

    #[test]
    fn what_the_c_driver_cannot_read_is_read_by_ondine() {
        let terms = ExpectedDifferences::default();
        let both = [Backing::File, Backing::Loop];
        let not_c = ExpectedDifferences {
            not_c: Some("it differs"),
            ..terms
        };
        let not_c_from_file = ExpectedDifferences {
            not_c_from_file: Some("it fails"),
            ..terms
        };
        let c_once = ExpectedDifferences {
            c_once: true,
            ..terms
        };
        for (terms, c) in [
            (terms, &both[..]),
            (not_c, &[]),
            (not_c_from_file, &both[1..]),
            (c_once, &both[..1]),
        ] {
            assert_eq!(seen_by(terms, "erofs"), c, "{terms:?}");
            assert_eq!(seen_by(terms, "ondine"), both, "{terms:?}");
        }
    }
}
