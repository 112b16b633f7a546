// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Resolution of a path to the module that defines the item, through reexports and `use path::*`.

use std::collections::HashSet;

use super::modules::{Id, Modules, Name};

/// The meaning of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// A module.
    Module(Id),
    /// An item that the module with this number defines.
    Item(Id),
}

/// The imports that are being followed. It ends the search when a name is imported through itself.
type Followed = HashSet<(Id, String, usize)>;

impl Modules {
    /// The modules that define the item that `path` means in module `id`. Empty if the path leads
    /// out of these crates or to a module.
    pub(super) fn defining(&self, id: Id, path: &[String]) -> Vec<Id> {
        let mut found: Vec<Id> = self
            .resolve(id, path, &mut Followed::new())
            .into_iter()
            .filter_map(|target| match target {
                Target::Item(id) => Some(id),
                Target::Module(_) => None,
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn resolve(&self, id: Id, path: &[String], followed: &mut Followed) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let start = match first.as_str() {
            "crate" => vec![Target::Module(self.root(id))],
            "self" => vec![Target::Module(id)],
            "super" => self.all[id]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            name => {
                let found = self.lookup(id, name, followed);
                match self.libraries.get(name) {
                    Some(&library) if found.is_empty() => vec![Target::Module(library)],
                    _ => found,
                }
            }
        };
        self.descend(start, rest, followed)
    }

    /// The meanings of the path `rest` relative to each of `targets`.
    fn descend(
        &self,
        targets: Vec<Target>,
        rest: &[String],
        followed: &mut Followed,
    ) -> Vec<Target> {
        let Some((next, after)) = rest.split_first() else {
            return targets;
        };
        let mut found = Vec::new();
        let mut items = Vec::new();
        let mut modules = Vec::new();
        for target in targets {
            match target {
                // The rest is a variant, a method or a constant of the item.
                Target::Item(_) => items.push(target),
                Target::Module(id) => {
                    let below = match next.as_str() {
                        "super" => self.all[id]
                            .parent
                            .map(Target::Module)
                            .into_iter()
                            .collect(),
                        "self" => vec![Target::Module(id)],
                        name => self.lookup(id, name, followed),
                    };
                    modules.push(Target::Item(id));
                    found.extend(self.descend(below, after, followed));
                }
            }
        }
        // A name that no source file defines is taken for one that a macro generated in that module.
        match (found.is_empty(), items.is_empty()) {
            (false, _) => found,
            (true, false) => items,
            (true, true) => modules,
        }
    }

    /// The meanings of `name` in module `id`.
    fn lookup(&self, id: Id, name: &str, followed: &mut Followed) -> Vec<Target> {
        let module = &self.all[id];
        let mut found = Vec::new();
        for (at, meaning) in module.names.get(name).into_iter().flatten().enumerate() {
            match meaning {
                Name::Defined => found.push(Target::Item(id)),
                Name::Module(below) => found.push(Target::Module(*below)),
                Name::Import(path) => {
                    let key = (id, name.to_owned(), at);
                    if followed.insert(key.clone()) {
                        found.extend(self.resolve(id, path, followed));
                        followed.remove(&key);
                    }
                }
            }
        }
        if !found.is_empty() {
            return found;
        }
        for (at, path) in module.globs.iter().enumerate() {
            let key = (id, name.to_owned(), usize::MAX - at);
            if !followed.insert(key.clone()) {
                continue;
            }
            for target in self.resolve(id, path, followed) {
                if let Target::Module(below) = target {
                    found.extend(self.lookup(below, name, followed));
                }
            }
            followed.remove(&key);
        }
        found
    }

    fn root(&self, mut id: Id) -> Id {
        while let Some(parent) = self.all[id].parent {
            id = parent;
        }
        id
    }

    /// True if `above` is `id` or encloses it.
    pub(super) fn is_within(&self, id: Id, above: Id) -> bool {
        let mut at = Some(id);
        while let Some(one) = at {
            if one == above {
                return true;
            }
            at = self.all[one].parent;
        }
        false
    }
}
