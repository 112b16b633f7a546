// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The accounts that need no guest, and the terms on which two accounts must agree.

use anyhow::{Context, Result};
use ondine_model::observation::{Errno, Observation, Scope, Text};
use ondine_model::observe::Options;
use ondine_model::read::Image;
use ondine_model::strictness::{departures, Answer};

use crate::guest::job::{Backing, Observer, Outcome};
use crate::images::{ImageSpec, Terms};

/// What the reference model makes of the image's bytes.
///
/// # Errors
/// When a file of the image cannot be opened at all.
pub fn model(spec: &ImageSpec, options: &Options) -> Result<Outcome> {
    for file in std::iter::once(&spec.primary).chain(&spec.devices) {
        std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    }
    Ok(Image::observe_files(&spec.primary, &spec.devices, options))
}

/// What the pure crate, the one that the module is made of, makes of the image's bytes.
pub fn pure(spec: &ImageSpec, options: &Options) -> Outcome {
    crate::observe::pure::observe_files(&spec.primary, &spec.devices, options)
}

/// What lies in the tree that the image was made from, on the image's terms.
pub fn source(spec: &ImageSpec, options: &Options) -> Option<Observation> {
    let root = spec.source.as_ref()?;
    let mut seen = ondine_model::observe::directory(root, options);
    seen.entries
        .retain(|path, _| !leaves_out(&spec.terms, path));
    for entry in seen.entries.values_mut() {
        if let Some(listing) = &mut entry.listing {
            listing.names.sort();
        }
    }
    Some(seen)
}

fn leaves_out(terms: &Terms, path: &Text) -> bool {
    terms
        .left_out
        .iter()
        .any(|out| path.as_bytes() == out.as_bytes())
}

/// On what a source tree and an image of it must agree.
pub fn source_scope(spec: &ImageSpec, reader: &str) -> Scope {
    Scope {
        root_mtime: !(spec.terms.free_root || spec.terms.cut_times),
        mtime: !spec.terms.cut_times,
        ..Scope::source("the source", reader)
    }
}

/// On what the model and a driver must agree.
///
/// The C driver's known departures come from the model's table; over a block device its data path
/// turns every errno into EIO (section 12.3 of the format's description).
pub fn driver_scope(observer: &Observer) -> Scope {
    let mut scope = Scope::all("the model", &observer.to_string());
    if observer.fs == "erofs" {
        for row in departures() {
            if let (Answer::Refuse(c), Answer::Refuse(ours)) = (row.c, row.ondine) {
                scope.same_errno.push((ours, c));
            }
        }
    }
    if observer.backing == Backing::Loop {
        scope.same_errno.push((Errno::EUCLEAN, Errno::EIO));
        scope.same_errno.push((Errno::ENODEV, Errno::EIO));
    }
    scope
}

/// Which observers look at an image of the matrix, and why one does not.
pub fn observers(spec: &ImageSpec) -> (Vec<Observer>, Option<&'static str>) {
    let reason = spec.terms.not_c_from_file;
    let fails = |o: &Observer| reason.is_some() && o.fs == "erofs" && o.backing == Backing::File;
    let all = Observer::all().into_iter().filter(|o| !fails(o)).collect();
    (all, reason)
}
