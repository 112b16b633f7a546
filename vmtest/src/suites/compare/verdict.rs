// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Result of comparing the observations of one image.

use ondine_model::observation::{diff_outcomes, Difference, Facet, Scope, Text};
use serde::Serialize;
use vmtest_lab::images::ImageSpec;

use super::guest_observers::Seen;
use super::host_observers::{self, Known};

/// Result for one image: a row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The image.
    pub image: String,
    /// Paths that the model saw.
    pub paths: usize,
    /// Bytes of content that the model saw.
    pub bytes: u64,
    /// Observers that were compared with the model.
    pub observers: Vec<String>,
    /// Differences between the observers and the model.
    pub differences: Vec<Finding>,
    /// Reasons why observers were left out.
    pub notes: Vec<String>,
    /// Seconds of guest and host time for this image.
    pub seconds: f64,
}

/// A difference between an observer and the model.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The observer whose account differs from the model's.
    pub observer: String,
    /// The path and the difference.
    #[serde(flatten)]
    pub difference: Difference,
}

/// The verdict on `spec` from what is `known` here and what was `seen` in a guest.
pub fn on(spec: &ImageSpec, known: &Known, seen: &[&Seen]) -> Verdict {
    let model = &known.model;
    let mut verdict = Verdict {
        image: spec.name.clone(),
        paths: model.as_ref().map_or(0, |m| m.paths()),
        bytes: model.as_ref().map_or(0, |m| m.bytes),
        observers: Vec::new(),
        differences: Vec::new(),
        notes: host_observers::observers(spec)
            .1
            .into_iter()
            .map(str::to_owned)
            .collect(),
        seconds: known.seconds,
    };
    verdict.hears_source(spec, known);
    if let Some(expected) = &spec.expected {
        let scope = Scope::all("the description", "the model");
        let found = diff_outcomes(&Ok(expected.clone()), model, &scope);
        verdict.hears("description", found);
    }
    let scope = Scope::all("the model", "the pure crate");
    verdict.hears("pure crate", diff_outcomes(model, &known.pure, &scope));
    for one in seen {
        let name = one.observer.to_string();
        let scope = host_observers::driver_scope(&one.observer);
        let mut found = diff_outcomes(model, &one.outcome, &scope);
        if let Some(errno) = one.unmount {
            found.push(Difference {
                path: Text::default(),
                facet: Facet::Mount,
                sentence: format!("unmount gives {errno} in {name}"),
            });
        }
        verdict.hears(&name, found);
        verdict.seconds += one.seconds;
    }
    verdict
}

impl Verdict {
    /// True if no observer differs from the model.
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

    fn hears_source(&mut self, spec: &ImageSpec, known: &Known) {
        let Some(mut source) = known.source.clone() else {
            return;
        };
        let root = Text::default();
        if let (true, Ok(model)) = (spec.terms.free_root, &known.model) {
            // The root's attributes are the merger's: take them as they are.
            if let (Some(ours), Some(theirs)) =
                (source.entries.get_mut(&root), model.entries.get(&root))
            {
                ours.stat = theirs.stat.clone();
            }
        }
        // Names that were left out are still in the source's listings; a name that is missing
        // beside them shows as a missing path.
        let scope = host_observers::source_scope(spec, "the model");
        let found = diff_outcomes(&Ok(source), &known.model, &scope);
        self.hears("source", found);
    }
}
