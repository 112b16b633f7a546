// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::fs;

use tempfile::TempDir;

use super::*;

const MANIFEST: &str = "[package]\nname = \"one-crate\"\n[lints]\nworkspace = true\n";

/// Creates a repository with these files. A crate without a manifest gets one.
fn repository(members: &[&str], files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let top = format!(
        "[workspace]\nmembers = {members:?}\n[workspace.dependencies]\nlab = {{ path = \"vmtest/lab\" }}\n"
    );
    write("Cargo.toml", &top);
    for member in members {
        write(&format!("{member}/Cargo.toml"), MANIFEST);
        write(&format!("{member}/src/lib.rs"), "");
    }
    for (file, text) in files {
        write(file, text);
    }
    dir
}

fn faults(files: &[(&str, &str)]) -> Vec<String> {
    check(repository(&["c"], files).path()).unwrap()
}

/// The imports of the only fault, which must be a circle; each as `file:line -> file`.
fn circle(files: &[(&str, &str)]) -> Vec<String> {
    let faults = faults(files);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    let mut lines = faults[0].lines();
    assert!(lines.next().unwrap().contains("in a circle"), "{faults:?}");
    lines
        .map(|line| {
            line.trim()
                .rsplit_once(": ")
                .unwrap()
                .0
                .replace("c/src/", "")
        })
        .collect()
}

#[test]
fn an_inherent_circle_must_be_there_as_it_is_listed() {
    let gone = ("kmod/src/cache/object.rs", "");
    let found = faults(&[gone]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("remove their row"), "{found:?}");
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let found = circle(&[
        ("c/src/lib.rs", "mod a;\nmod b;\n"),
        ("c/src/a.rs", "use crate::b::B;\npub struct A(B);\n"),
        ("c/src/b.rs", "\nuse super::a::A;\npub struct B(Box<A>);\n"),
    ]);
    assert_eq!(found, ["a.rs:1 -> b.rs", "b.rs:2 -> a.rs"]);
}

#[test]
fn a_facade_hides_no_circle() {
    let found = circle(&[
        ("c/src/lib.rs", "mod m;\n"),
        (
            "c/src/m/mod.rs",
            "mod a;\nmod b;\npub use self::{a::A, b::B};\n",
        ),
        ("c/src/m/a.rs", "use super::B;\npub struct A(B);\n"),
        ("c/src/m/b.rs", "pub struct B(Box<super::A>);\n"),
    ]);
    assert_eq!(found, ["m/a.rs:1 -> m/b.rs", "m/b.rs:1 -> m/a.rs"]);
}

#[test]
fn three_files_are_a_circle_through_names_of_another_module() {
    let found = circle(&[
        ("c/src/lib.rs", "mod a;\nmod b;\nmod d;\n"),
        (
            "c/src/a.rs",
            "use crate::b as other;\npub fn f() { other::g() }\n",
        ),
        ("c/src/b.rs", "use crate::d::*;\npub fn g() { h() }\n"),
        ("c/src/d.rs", "pub fn h() { crate::a::f() }\n"),
    ]);
    assert_eq!(
        found,
        ["a.rs:2 -> b.rs", "b.rs:2 -> d.rs", "d.rs:1 -> a.rs"]
    );
}

#[test]
fn paths_count_where_no_use_item_is() {
    for mention in [
        "fn f() { crate::a::A::new(); }",
        "fn f(_: &[Option<crate::a::A>]) {}",
        "impl crate::a::A { fn f() {} }",
        "fn f(x: u8) { match x { crate::a::X => {} _ => {} } }",
        "fn f() { use crate::a::A; A::new(); }",
        "fn f() { assert!(g(|| crate::a::A::new())) }",
        "#[arg(value_parser = crate::a::parse)] struct S;",
        "mod inner { fn f() { super::super::a::A::new() } }",
        "macro_rules! m { () => { $crate::a::A::new() } }",
    ] {
        let found = circle(&[
            ("c/src/lib.rs", "mod a;\n#[path = \"other.rs\"]\nmod b;\n"),
            ("c/src/a.rs", "use crate::b::B;\npub struct A;\n"),
            ("c/src/other.rs", &format!("pub struct B;\n{mention}\n")),
        ]);
        assert_eq!(
            found,
            ["a.rs:1 -> other.rs", "other.rs:2 -> a.rs"],
            "{mention}"
        );
    }
}

#[test]
fn fields_and_variables_in_macros_are_no_imports() {
    let found = faults(&[
        ("c/src/lib.rs", "mod m;\n"),
        (
            "c/src/m/mod.rs",
            "mod a;\nmod b;\npub use self::{a::a, b::B};\n",
        ),
        ("c/src/m/a.rs", "use super::B;\npub fn a() { B::new() }\n"),
        (
            "c/src/m/b.rs",
            "use super::*;\npub struct B;\nfn f(a: S) { x!(S { a: 1 }, a, y.a(), a.z) }\n",
        ),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_module_and_its_own_modules_are_no_circle() {
    let found = faults(&[
        ("c/src/lib.rs", "mod m;\npub const LIMIT: u8 = 1;\n"),
        (
            "c/src/m.rs",
            "mod a;\npub use self::a::A;\npub trait T { fn f() -> A; }\n",
        ),
        (
            "c/src/m/a.rs",
            "use super::T;\npub struct A([u8; crate::LIMIT]);\nimpl T for A {}\n",
        ),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn tests_may_import_anything() {
    let found = faults(&[
        ("c/src/lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod tests;\n"),
        ("c/src/tests.rs", "mod deep;\n"),
        ("c/src/tests/deep.rs", "use crate::a::A;\n"),
        ("c/src/a.rs", "use crate::b::B;\npub struct A;\n"),
        (
            "c/src/b.rs",
            "pub struct B;\n#[cfg(all(test, unix))]\nmod tests { use crate::a::A; }\n\
             impl B { #[cfg(test)] fn f() { crate::a::A::new() } }\n",
        ),
    ]);
    assert!(found.is_empty(), "{found:?}");
    // Code that is also compiled without tests counts.
    let found = faults(&[
        ("c/src/lib.rs", "mod a;\nmod b;\n"),
        ("c/src/a.rs", "use crate::b::B;\npub struct A;\n"),
        (
            "c/src/b.rs",
            "pub struct B;\n#[cfg(not(test))]\nuse crate::a::A;\n",
        ),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_glue_crate_is_read_too() {
    let found = faults(&[
        ("kmod/src/main.rs", "mod a;\nmod b;\n"),
        ("kmod/src/a.rs", "use crate::b::B;\npub struct A;\n"),
        ("kmod/src/b.rs", "use crate::a::A;\npub struct B;\n"),
    ]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("kmod/src/b.rs:1 -> kmod/src/a.rs"),
        "{found:?}"
    );
}

#[test]
fn a_file_that_no_crate_compiles_is_a_fault() {
    let found = faults(&[
        ("c/src/lib.rs", "mod a;\n"),
        ("c/src/a.rs", ""),
        ("c/src/b.rs", ""),
    ]);
    assert_eq!(found, ["c/src/b.rs: no crate compiles this file"]);
}

#[test]
fn the_guest_may_not_depend_on_the_host() {
    let members = ["vmtest/agent", "vmtest/lab", "vmtest/wire"];
    let manifest = |rest: &str| format!("{MANIFEST}{rest}");
    let arrows = |agent: &str, wire: &str| {
        let (agent, wire) = (manifest(agent), manifest(wire));
        let files = [
            ("vmtest/agent/Cargo.toml", agent.as_str()),
            ("vmtest/wire/Cargo.toml", wire.as_str()),
        ];
        check(repository(&members, &files).path()).unwrap()
    };
    let agent = "[dependencies]\nwire = { path = \"../wire\" }\nserde = \"1\"\n";
    assert!(arrows(agent, "").is_empty());
    let tests = "[dev-dependencies]\nlab.workspace = true\n";
    assert!(arrows(tests, tests).is_empty());
    assert_eq!(
        arrows("[dependencies]\nserde = \"1\"\nlab.workspace = true\n", ""),
        ["vmtest/agent/Cargo.toml:7: vmtest/agent may not depend on vmtest/lab"]
    );
    assert_eq!(
        arrows(
            "",
            "[target.'cfg(unix)'.dependencies]\nagent = { path = \"../agent\" }\n"
        ),
        ["vmtest/wire/Cargo.toml:6: vmtest/wire may not depend on vmtest/agent"]
    );
}

#[test]
fn every_crate_inherits_the_lints() {
    let bare = "[package]\nname = \"c\"\n";
    let found = faults(&[("c/Cargo.toml", bare)]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("add `workspace = true` to [lints]"),
        "{found:?}"
    );
}
