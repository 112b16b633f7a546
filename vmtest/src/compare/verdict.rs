// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What the comparison of one image's accounts came to.

use std::time::Instant;

use anyhow::Result;
use ondine_model::observation::{diff_outcomes, Difference, Scope};
use ondine_model::observe::Options;
use serde::Serialize;

use super::accounts;
use super::look::Seen;
use crate::guest::job::Outcome;
use crate::images::ImageSpec;

/// One image's row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The image.
    pub image: String,
    /// Paths that the model saw.
    pub paths: usize,
    /// Bytes of content that the model saw.
    pub bytes: u64,
    /// Everybody whose account was compared with the model's.
    pub observers: Vec<String>,
    /// Where accounts differ.
    pub differences: Vec<Finding>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Seconds of guest and host time for this image.
    pub seconds: f64,
}

/// A difference and whom it is between.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The observer whose account differs from the model's.
    pub observer: String,
    /// Where and what.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Compares all accounts of `spec`: `seen` of the drivers, and those made here.
///
/// # Errors
/// When the image or its source cannot be read here.
pub fn on(spec: &ImageSpec, seen: &[&Seen], options: &Options) -> Result<Verdict> {
    let begin = Instant::now();
    let model = accounts::model(spec, options)?;
    let mut verdict = Verdict {
        image: spec.name.clone(),
        paths: model.as_ref().map_or(0, |m| m.paths()),
        bytes: model.as_ref().map_or(0, |m| m.bytes),
        observers: Vec::new(),
        differences: Vec::new(),
        notes: Vec::new(),
        seconds: 0.0,
    };
    verdict.hears_source(spec, &model, options);
    let scope = Scope::all("the model", "the pure crate");
    verdict.hears(
        "pure crate",
        diff_outcomes(&model, &accounts::pure(spec, options), &scope),
    );
    for one in seen {
        let name = one.observer.to_string();
        let scope = accounts::driver_scope(&one.observer);
        verdict.hears(&name, diff_outcomes(&model, &one.outcome, &scope));
        if let Some(errno) = one.unmount {
            verdict.notes.push(format!("{name}: unmount gave {errno}"));
        }
        verdict.seconds += one.seconds;
    }
    if let Some(reason) = accounts::observers(spec).1 {
        verdict.notes.push(reason.to_owned());
    }
    verdict.seconds += begin.elapsed().as_secs_f64();
    Ok(verdict)
}

impl Verdict {
    /// Nothing differs.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }

    fn hears(&mut self, observer: &str, differences: Vec<Difference>) {
        self.observers.push(observer.to_owned());
        self.differences
            .extend(differences.into_iter().map(|difference| Finding {
                observer: observer.to_owned(),
                difference,
            }));
    }

    fn hears_source(&mut self, spec: &ImageSpec, model: &Outcome, options: &Options) {
        let Some(mut source) = accounts::source(spec, options) else {
            return;
        };
        if let (true, Ok(model)) = (spec.terms.free_root, model) {
            // The root's attributes are the merger's: take them as they are.
            let root = ondine_model::observation::Text::default();
            if let (Some(ours), Some(theirs)) =
                (source.entries.get_mut(&root), model.entries.get(&root))
            {
                ours.stat = theirs.stat.clone();
            }
        }
        // Names that were left out are still in the source's listings; their absence shows as a
        // missing path for every other name.
        let scope = accounts::source_scope(spec, "the model");
        let found = diff_outcomes(&Ok(source), model, &scope);
        self.hears("source", found);
    }
}
