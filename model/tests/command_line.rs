// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Commands of ondine-model: output and exit status.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ondine_model::tree::{Kind, Node, Tree};
use ondine_model::write::{write, ImageOptions};
use tempfile::TempDir;

struct Setting {
    directory: TempDir,
}

impl Setting {
    /// An image with one file, one link and one attribute.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut tree = Tree::default();
        let etc = tree.add(Tree::ROOT, "etc", Node::new(Kind::directory()));
        let motd = Node::new(Kind::file("hello\n")).with_xattr("user.mood", "good");
        tree.add(etc, "motd", motd);
        let link = Kind::Symlink(b"etc/motd".to_vec());
        tree.add(Tree::ROOT, "greeting", Node::new(link));
        let image = write(&tree, &ImageOptions::default()).expect("a sound tree");
        image
            .write_to_directory(directory.path(), "image")
            .expect("space for the image");
        Self { directory }
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image.erofs")
    }

    fn run(&self, command: &str, rest: &[&str]) -> (i32, String, String) {
        run(command, &self.image(), rest)
    }
}

fn run(command: &str, image: &Path, rest: &[&str]) -> (i32, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_ondine-model"));
    let Output {
        status,
        stdout,
        stderr,
    } = program
        .arg(command)
        .arg(image)
        .args(rest)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (status.code().expect("an exit"), text(stdout), text(stderr))
}

#[test]
fn a_sound_image_holds() {
    let setting = Setting::new();
    let (code, out, _) = setting.run("ls", &[]);
    assert!(code == 0 && out.contains("greeting -> etc/motd"), "{out}");
    assert_eq!(
        setting.run("cat", &["/etc/motd"]),
        (0, "hello\n".to_owned(), String::new())
    );
    let (code, out, _) = setting.run("stat", &["etc/motd"]);
    assert!(
        code == 0 && out.starts_with("etc/motd: a regular file of 6 bytes"),
        "{out}"
    );
    let (code, out, _) = setting.run("xattr", &["etc/motd"]);
    assert!(code == 0 && out.contains("user.mood=\"good\""), "{out}");
    let (code, out, _) = setting.run("dump", &["/etc"]);
    assert!(
        code == 0 && out.contains("block size    4096") && out.contains("/etc/motd: nid"),
        "{out}"
    );
    assert_eq!(
        setting.run("check", &[]),
        (0, "sound\n".to_owned(), String::new())
    );
}

#[test]
fn every_command_has_a_json_form() {
    let setting = Setting::new();
    for command in ["ls", "stat", "xattr", "dump", "check", "observe"] {
        let (code, out, err) = setting.run(command, &["--json"]);
        assert_eq!(code, 0, "{command}: {err}");
        serde_json::from_str::<serde_json::Value>(&out)
            .unwrap_or_else(|error| panic!("{command}: {error}: {out}"));
    }
}

#[test]
fn exit_status_is_1_for_a_bad_image_and_2_for_a_bad_request() {
    let setting = Setting::new();
    let (code, _, err) = setting.run("cat", &["/etc/none"]);
    assert!(
        code == 2 && err.contains("has no /etc/none"),
        "{code}: {err}"
    );
    let (code, _, err) = setting.run("cat", &["/etc"]);
    assert!(code == 2 && err.contains("is a directory"), "{code}: {err}");
    for command in ["ls", "check", "observe"] {
        let (code, _, err) = run(command, Path::new("/nowhere/image"), &[]);
        assert!(
            code == 2 && err.contains("/nowhere/image"),
            "{command}: {code}: {err}"
        );
    }
    let mut bytes = fs::read(setting.image()).expect("the image");
    bytes[1024] ^= 1;
    fs::write(setting.image(), bytes).expect("a change");
    let (code, _, err) = setting.run("ls", &[]);
    assert!(
        code == 1 && err.contains("does not mount: magic is"),
        "{code}: {err}"
    );
    let (code, out, _) = setting.run("check", &[]);
    assert!(code == 1 && out.ends_with("1 defect\n"), "{code}: {out}");
}
