// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparison of two observations.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Entry, Errno, Kind, Observation, Span, Stat, Text};

/// Facets that must agree, and the names of both observers in messages.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Name of the first observer, as in "size is 4096 in ondine".
    pub left: String,
    /// Name of the second observer.
    pub right: String,
    /// Compare hole maps.
    pub holes: bool,
    /// Compare the order of directory entries (the set of names is always compared).
    pub order: bool,
    /// Compare sizes of directories.
    pub directory_size: bool,
    /// Compare link counts of directories.
    pub directory_nlink: bool,
    /// Compare the root's modification time.
    pub root_mtime: bool,
    /// Compare modification times below the root.
    pub mtime: bool,
    /// Compare link counts of non-directories.
    pub nlink: bool,
    /// Prefixes of extended attributes to ignore (a source directory may carry the host's labels).
    pub ignored_xattrs: Vec<Text>,
    /// Pairs of errnos (left, right) that count as equal, for every operation.
    pub same_errno: Vec<(Errno, Errno)>,
    /// Pairs of errnos (left, right) that count as equal for read(2) and readlink(2), such as (EUCLEAN, EIO)
    /// for a read through iomap.
    pub same_data_errno: Vec<(Errno, Errno)>,
}

impl Scope {
    /// Compares everything: two readers of one image.
    pub fn all(left: &str, right: &str) -> Self {
        Self {
            left: left.to_owned(),
            right: right.to_owned(),
            holes: true,
            order: true,
            directory_size: true,
            directory_nlink: true,
            root_mtime: true,
            mtime: true,
            nlink: true,
            ignored_xattrs: Vec::new(),
            same_errno: Vec::new(),
            same_data_errno: Vec::new(),
        }
    }

    /// Compares a reader with the source directory on disk, which differs in holes, entry order,
    /// and sizes and link counts of directories.
    pub fn source(left: &str, right: &str) -> Self {
        Self {
            holes: false,
            order: false,
            directory_size: false,
            directory_nlink: false,
            ..Self::all(left, right)
        }
    }

    fn same(&self, facet: &Facet, left: Errno, right: Errno) -> bool {
        let is_data = matches!(facet, Facet::Content | Facet::Target);
        left == right
            || self.same_errno.contains(&(left, right))
            || (is_data && self.same_data_errno.contains(&(left, right)))
    }

    fn counts(&self, xattr: &Text) -> bool {
        let ignored = |prefix: &Text| xattr.0.starts_with(&prefix.0);
        !self.ignored_xattrs.iter().any(ignored)
    }
}

/// The part of an entry in which two observations differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Facet {
    Mount,
    Presence,
    Truncation,
    Stat,
    Kind,
    Mode,
    Uid,
    Gid,
    Rdev,
    Size,
    Nlink,
    Mtime,
    Group,
    XattrList,
    Xattr(Text),
    Target,
    Names,
    Content,
    Data,
}

/// A difference, in structured and in readable form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Path of the difference.
    pub path: Text,
    /// Part of the entry.
    pub facet: Facet,
    /// Complete sentence, as [`Display`](fmt::Display) prints it.
    pub sentence: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Returns all differences within the scope, in path order.
///
/// Below a directory whose listing failed on both sides (with equal errors) a name that only one
/// side reached is not reported: the number of entries before the error is unspecified.
pub fn diff(left: &Observation, right: &Observation, scope: &Scope) -> Vec<Difference> {
    let mut found = Found {
        scope,
        path: Text::default(),
        list: Vec::new(),
    };
    if left.truncated != right.truncated {
        let side = |cut: bool| if cut { "cut short by a limit" } else { "whole" };
        let (l, r) = (side(left.truncated), side(right.truncated));
        found.add(Facet::Truncation, "the account", &l, &r);
    }
    let paths: BTreeSet<&Text> = left.entries.keys().chain(right.entries.keys()).collect();
    for path in paths {
        found.path = path.clone();
        match (left.entries.get(path), right.entries.get(path)) {
            (Some(l), Some(r)) => found.entries(l, r),
            (l, _) => {
                let parent = path.parent();
                let broken = |of: &Observation| {
                    let above = parent.as_ref().and_then(|p| of.entries.get(p));
                    let listing = above.and_then(|e| e.listing.as_ref());
                    listing.is_none_or(|listing| listing.ended.is_some())
                };
                // If the parent is missing on one side, the difference is reported once, for the
                // parent.
                if !(broken(left) || broken(right))
                    || path.is_empty()
                    || one_sided(left, right, &parent)
                {
                    let (here, there) = match l {
                        Some(_) => (&scope.left, &scope.right),
                        None => (&scope.right, &scope.left),
                    };
                    found.say(Facet::Presence, format!("is in {here}, is not in {there}"));
                }
            }
        }
    }
    found.list
}

/// True if the listing of the parent failed on exactly one side.
fn one_sided(left: &Observation, right: &Observation, parent: &Option<Text>) -> bool {
    let ended = |of: &Observation| {
        let above = parent.as_ref().and_then(|p| of.entries.get(p))?;
        above
            .listing
            .as_ref()
            .map(|listing| listing.ended.is_some())
    };
    matches!((ended(left), ended(right)), (Some(l), Some(r)) if l != r)
}

/// Like [`diff`], for mounts that may have failed.
pub fn diff_outcomes(
    left: &Result<Observation, Errno>,
    right: &Result<Observation, Errno>,
    scope: &Scope,
) -> Vec<Difference> {
    let sentence = match (left, right) {
        (Ok(left), Ok(right)) => return diff(left, right, scope),
        (Err(l), Err(r)) if scope.same(&Facet::Mount, *l, *r) => return Vec::new(),
        (Err(l), Err(r)) => format!("mount gives {l} in {}, {r} in {}", scope.left, scope.right),
        (Err(l), Ok(_)) => format!(
            "mount gives {l} in {}, succeeds in {}",
            scope.left, scope.right
        ),
        (Ok(_), Err(r)) => format!(
            "mount succeeds in {}, gives {r} in {}",
            scope.left, scope.right
        ),
    };
    vec![Difference {
        path: Text::default(),
        facet: Facet::Mount,
        sentence: format!("/: {sentence}"),
    }]
}

struct Found<'a> {
    scope: &'a Scope,
    path: Text,
    list: Vec<Difference>,
}

impl Found<'_> {
    fn say(&mut self, facet: Facet, what: String) {
        let slash = if self.path.is_empty() { "/" } else { "" };
        self.list.push(Difference {
            path: self.path.clone(),
            facet,
            sentence: format!("{slash}{}: {what}", self.path),
        });
    }

    fn add(&mut self, facet: Facet, what: &str, left: &dyn fmt::Display, right: &dyn fmt::Display) {
        let (l, r) = (&self.scope.left, &self.scope.right);
        let sentence = format!("{what} is {left} in {l}, {right} in {r}");
        self.say(facet, sentence);
    }

    fn value<T: PartialEq>(
        &mut self,
        facet: Facet,
        what: &str,
        l: &T,
        r: &T,
        show: impl Fn(&T) -> String,
    ) {
        if l != r {
            self.add(facet, what, &show(l), &show(r));
        }
    }

    /// Returns both values if both operations succeeded; otherwise compares the outcomes.
    fn both<'a, T>(
        &mut self,
        facet: Facet,
        what: &str,
        l: &'a Result<T, Errno>,
        r: &'a Result<T, Errno>,
    ) -> Option<(&'a T, &'a T)> {
        let (left, right) = (&self.scope.left, &self.scope.right);
        let sentence = match (l, r) {
            (Ok(l), Ok(r)) => return Some((l, r)),
            (Err(l), Err(r)) if self.scope.same(&facet, *l, *r) => return None,
            (Err(l), Err(r)) => format!("{what} gives {l} in {left}, {r} in {right}"),
            (Err(l), Ok(_)) => format!("{what} gives {l} in {left}, succeeds in {right}"),
            (Ok(_), Err(r)) => format!("{what} succeeds in {left}, gives {r} in {right}"),
        };
        self.say(facet, sentence);
        None
    }

    fn entries(&mut self, l: &Entry, r: &Entry) {
        let Some((ls, rs)) = self.both(Facet::Stat, "stat", &l.stat, &r.stat) else {
            return;
        };
        if ls.kind != rs.kind {
            self.add(Facet::Kind, "it", &ls.kind, &rs.kind);
            return;
        }
        self.stats(ls, rs);
        self.xattrs(l, r);
        if let (Some(lt), Some(rt)) = (&l.target, &r.target) {
            if let Some((lt, rt)) = self.both(Facet::Target, "readlink", lt, rt) {
                self.value(Facet::Target, "link target", lt, rt, |t| format!("{t:?}"));
            }
        }
        self.listings(l, r);
        if let (Some(lc), Some(rc)) = (&l.content, &r.content) {
            if let Some((lc, rc)) = self.both(Facet::Content, "read", lc, rc) {
                self.value(Facet::Content, "content", lc, rc, |c| {
                    format!("{} bytes of digest {:.12}", c.bytes, c.xxh3)
                });
            }
        }
        if let (true, Some(ld), Some(rd)) = (self.scope.holes, &l.data, &r.data) {
            if let Some((ld, rd)) = self.both(Facet::Data, "seek for data", ld, rd) {
                self.value(Facet::Data, "data", ld, rd, |spans| show_spans(spans));
            }
        }
    }

    fn stats(&mut self, l: &Stat, r: &Stat) {
        let scope = self.scope;
        let directory = l.kind == Kind::Directory;
        let mtime = if self.path.is_empty() {
            scope.root_mtime
        } else {
            scope.mtime
        };
        self.value(Facet::Mode, "mode", &l.mode, &r.mode, |m| {
            format!("{m:04o}")
        });
        self.value(Facet::Uid, "owner", &l.uid, &r.uid, u32::to_string);
        self.value(Facet::Gid, "group", &l.gid, &r.gid, u32::to_string);
        self.value(Facet::Rdev, "device number", &l.rdev, &r.rdev, |d| {
            format!("{}:{}", d.0, d.1)
        });
        if !directory || scope.directory_size {
            self.value(Facet::Size, "size", &l.size, &r.size, u64::to_string);
        }
        if if directory {
            scope.directory_nlink
        } else {
            scope.nlink
        } {
            self.value(
                Facet::Nlink,
                "link count",
                &l.nlink,
                &r.nlink,
                u64::to_string,
            );
        }
        if mtime {
            self.value(Facet::Mtime, "mtime", &l.mtime, &r.mtime, |t| {
                format!("{}.{:09}", t.0, t.1)
            });
        }
        self.value(
            Facet::Group,
            "hard-link group",
            &l.group,
            &r.group,
            |g| match g {
                Some(first) => format!("that of {first}"),
                None => "its own".to_owned(),
            },
        );
    }

    fn xattrs(&mut self, l: &Entry, r: &Entry) {
        let Some((lx, rx)) = self.both(Facet::XattrList, "listxattr", &l.xattrs, &r.xattrs) else {
            return;
        };
        let names: BTreeSet<&Text> = lx.keys().chain(rx.keys()).collect();
        for name in names.into_iter().filter(|name| self.scope.counts(name)) {
            let facet = Facet::Xattr(name.clone());
            match (lx.get(name), rx.get(name)) {
                (Some(l), Some(r)) => {
                    let what = format!("getxattr {name}");
                    if let Some((l, r)) = self.both(facet.clone(), &what, l, r) {
                        self.value(facet, &format!("xattr {name}"), l, r, |v| format!("{v:?}"));
                    }
                }
                (Some(_), None) => self.lists(facet, name, true),
                _ => self.lists(facet, name, false),
            }
        }
    }

    fn lists(&mut self, facet: Facet, name: &Text, left: bool) {
        let (l, r) = (&self.scope.left, &self.scope.right);
        let (here, there) = if left { (l, r) } else { (r, l) };
        let sentence = format!("xattr {name} is in {here}, is not in {there}");
        self.say(facet, sentence);
    }

    fn listings(&mut self, l: &Entry, r: &Entry) {
        let (Some(l), Some(r)) = (&l.listing, &r.listing) else {
            return;
        };
        let outcome = |ended: Option<Errno>| ended.map_or(Ok(()), Err);
        let (lo, ro) = (outcome(l.ended), outcome(r.ended));
        if self.both(Facet::Names, "readdir", &lo, &ro).is_none() || l.names == r.names {
            return;
        }
        let sorted = |names: &[Text]| {
            let mut names = names.to_vec();
            names.sort();
            names
        };
        if sorted(&l.names) != sorted(&r.names) {
            // Missing paths are reported by themselves; this catches repeated names.
            let unique = |names: &[Text]| names.iter().collect::<BTreeSet<_>>().len();
            if unique(&l.names) == l.names.len() && unique(&r.names) == r.names.len() {
                return;
            }
            self.value(
                Facet::Names,
                "number of names",
                &l.names.len(),
                &r.names.len(),
                usize::to_string,
            );
        } else if self.scope.order {
            let at = l
                .names
                .iter()
                .zip(&r.names)
                .position(|(l, r)| l != r)
                .unwrap_or(0);
            let what = format!("name {} of the directory", at + 1);
            self.add(Facet::Names, &what, &l.names[at], &r.names[at]);
        }
    }
}

fn show_spans(spans: &[Span]) -> String {
    let shown: Vec<String> = spans
        .iter()
        .take(8)
        .map(|s| format!("{}..{}", s.start, s.end))
        .collect();
    let more = if spans.len() > 8 { ", ..." } else { "" };
    format!("[{}{more}]", shown.join(", "))
}
