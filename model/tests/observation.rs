// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Comparison of two directories: detected differences and their sentences.

use std::fs;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;

use ondine_model::observation::{diff, diff_outcomes, Errno, Facet, Observation, Scope, Text};
use ondine_model::observe::{directory, Options};
use tempfile::TempDir;

fn observed(make: impl FnOnce(&Path)) -> (TempDir, Observation) {
    let at = tempfile::tempdir().expect("a directory");
    make(at.path());
    let seen = directory(at.path(), &Options::default());
    (at, seen)
}

fn tree(at: &Path) {
    fs::create_dir(at.join("bin")).expect("a directory");
    fs::write(at.join("bin/tar"), [1; 4096]).expect("a file");
    fs::hard_link(at.join("bin/tar"), at.join("bin/gtar")).expect("a link");
    symlink("bin/tar", at.join("link")).expect("a link");
}

/// Ignores times, which are those of the test run.
fn scope() -> Scope {
    Scope {
        root_mtime: false,
        mtime: false,
        ..Scope::source("ondine", "the model")
    }
}

/// Sentences after a change on the left side.
fn sentences(change: impl FnOnce(&Path)) -> Vec<String> {
    let (_left, left) = observed(|at| {
        tree(at);
        change(at);
    });
    let (_right, right) = observed(tree);
    diff(&left, &right, &scope())
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn equal_trees_do_not_differ() {
    assert_eq!(sentences(|_| {}), Vec::<String>::new());
}

#[test]
fn differences_are_complete_sentences() {
    let chmod = |at: &Path| {
        fs::set_permissions(at.join("bin"), fs::Permissions::from_mode(0o700)).expect("chmod")
    };
    assert_eq!(
        sentences(chmod),
        ["bin: mode is 0700 in ondine, 0755 in the model"]
    );
    let grow = |at: &Path| fs::write(at.join("bin/tar"), [1; 4097]).expect("a file");
    let found = sentences(grow);
    assert_eq!(
        found[0],
        "bin/gtar: size is 4097 in ondine, 4096 in the model"
    );
    assert!(
        found[1].starts_with("bin/gtar: content is 4097 bytes of digest "),
        "{found:?}"
    );
    assert_eq!(found.len(), 4, "both names of the file differ: {found:?}");
    let relink = |at: &Path| {
        fs::remove_file(at.join("link")).expect("it was there");
        symlink("bin/\u{7}", at.join("link")).expect("a link");
    };
    let found = sentences(relink);
    assert_eq!(
        found[1],
        "link: link target is \"bin/\\x07\" in ondine, \"bin/tar\" in the model"
    );
}

#[test]
fn a_missing_tree_is_reported_once() {
    let found = sentences(|at| fs::remove_dir_all(at.join("bin")).expect("it was there"));
    assert_eq!(found, ["bin: is in the model, is not in ondine"]);
    let found = sentences(|at| {
        fs::remove_file(at.join("link")).expect("it was there");
        fs::create_dir(at.join("link")).expect("a directory");
        fs::write(at.join("link/below"), b"").expect("a file");
    });
    assert_eq!(
        found,
        ["link: it is a directory in ondine, a symbolic link in the model"]
    );
}

#[test]
fn a_broken_hard_link_is_a_difference() {
    let found = sentences(|at| {
        fs::remove_file(at.join("bin/gtar")).expect("it was there");
        fs::write(at.join("bin/gtar"), [1; 4096]).expect("a file");
    });
    assert!(found.contains(
        &"bin/tar: hard-link group is its own in ondine, that of bin/gtar in the model".to_owned()
    ));
}

#[test]
fn facets_outside_the_scope_are_ignored() {
    let (_left, left) = observed(tree);
    let mut right = left.clone();
    let root = right.entries.get_mut(&Text::default()).expect("the root");
    root.listing.as_mut().expect("a directory").names.reverse();
    root.stat.as_mut().expect("it stats").size += 1;
    assert!(diff(&left, &right, &Scope::source("a", "b")).is_empty());
    let found = diff(&left, &right, &Scope::all("a", "b"));
    assert_eq!(
        found.iter().map(|d| d.facet.clone()).collect::<Vec<_>>(),
        [Facet::Size, Facet::Names]
    );
}

#[test]
fn errors_differ_unless_they_count_as_the_same() {
    let (_left, left) = observed(tree);
    let mut right = left.clone();
    let mut left = left;
    let read = |of: &mut Observation, errno| {
        of.entries
            .get_mut(&Text::from("bin/tar"))
            .expect("a file")
            .content = Some(Err(errno));
    };
    read(&mut left, Errno::EUCLEAN);
    read(&mut right, Errno::EIO);
    let mut scope = scope();
    let found = diff(&left, &right, &scope);
    assert_eq!(
        found[0].to_string(),
        "bin/tar: read gives EUCLEAN in ondine, EIO in the model"
    );
    let mut data = scope.clone();
    data.same_data_errno.push((Errno::EUCLEAN, Errno::EIO));
    assert!(diff(&left, &right, &data).is_empty());
    // Of what is no data the errors stay two.
    let stat = |of: &mut Observation, errno| {
        of.entries
            .get_mut(&Text::from("bin/tar"))
            .expect("a file")
            .stat = Err(errno);
    };
    let (mut other_left, mut other_right) = (left.clone(), right.clone());
    stat(&mut other_left, Errno::EUCLEAN);
    stat(&mut other_right, Errno::EIO);
    assert_eq!(diff(&other_left, &other_right, &data).len(), 1);
    scope.same_errno.push((Errno::EUCLEAN, Errno::EIO));
    assert!(diff(&other_left, &other_right, &scope).is_empty());
    assert!(diff(&left, &right, &scope).is_empty());
    let refused = Err(Errno::EINVAL);
    let found = diff_outcomes(&refused, &Ok(right), &scope);
    assert_eq!(
        found[0].to_string(),
        "/: mount gives EINVAL in ondine, succeeds in the model"
    );
    assert!(diff_outcomes(&refused, &refused, &scope).is_empty());
}

#[test]
fn an_observation_survives_its_json() {
    let (_at, seen) = observed(|at| {
        tree(at);
        fs::write(at.join(Text(vec![b'\\', 0xff, b'\n']).as_os_str()), b"").expect("a file");
    });
    let json = seen.to_json().expect("it has a JSON form");
    assert!(json.contains(r"\\x5c\\xff\\x0a"), "{json}");
    assert_eq!(Observation::from_json(&json).expect("its own form"), seen);
    let other = json.replace("ondine-observation-1", "ondine-observation-0");
    assert!(Observation::from_json(&other)
        .expect_err("another schema")
        .to_string()
        .contains("observation-0"));
}

#[test]
fn the_walk_stays_within_its_limits() {
    let at = tempfile::tempdir().expect("a directory");
    tree(at.path());
    let limits = Options {
        paths: 3,
        ..Options::default()
    };
    let seen = directory(at.path(), &limits);
    assert_eq!((seen.paths(), seen.truncated), (3, true));
    let limits = Options {
        file_bytes: 4095,
        ..Options::default()
    };
    let seen = directory(at.path(), &limits);
    assert_eq!(
        (
            seen.bytes,
            seen.entries[&Text::from("bin/tar")].content.is_some()
        ),
        (0, false)
    );
}
