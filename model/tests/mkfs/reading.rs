// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images of mkfs.erofs, which must read back as their source directories.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{symlink, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::make;
use ondine_model::check::{self, Finding};
use ondine_model::observation::{diff, Errno, Kind, Observation, Scope, Text};
use ondine_model::observe;
use ondine_model::read::{Image, Layout, Setup};
use ondine_model::strictness::Defect;
use tempfile::TempDir;

/// Creates a tree with every kind of node that an unprivileged user can create; `root` adds the
/// rest.
fn source(at: &Path, root: bool) {
    let write = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).expect("a file");
    let noise = |len: usize, seed: u32| -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..len).map(|_| next()).collect()
    };
    for (k, len) in [
        0, 1, 511, 512, 513, 4000, 4095, 4096, 4097, 8191, 65536, 300_001,
    ]
    .into_iter()
    .enumerate()
    {
        write(&format!("size-{len}"), &noise(len, k as u32 + 7));
    }
    let sparse = fs::File::create(at.join("sparse")).expect("a file");
    sparse.set_len(1 << 20).expect("a hole");
    sparse
        .write_all_at(&noise(5000, 99), 200_000)
        .expect("data");
    fs::File::create(at.join("zeros"))
        .expect("a file")
        .set_len(400_000)
        .expect("a hole");
    fs::create_dir(at.join("empty")).expect("a directory");
    fs::create_dir_all(at.join("deep/er/and/deeper")).expect("directories");
    fs::create_dir(at.join("wide")).expect("a directory");
    for k in 0..700 {
        write(
            &format!("wide/a rather long name, number {k:05}"),
            format!("{k}").as_bytes(),
        );
    }
    for name in [
        "!before the dots",
        "-",
        "..hidden",
        "\u{e9}t\u{e9}",
        "\\back",
    ] {
        write(&format!("deep/{name}"), b"named");
    }
    write(&format!("deep/{}", "n".repeat(255)), b"longest");
    fs::write(
        at.join("deep").join(Text(vec![0xff, 0xfe]).as_os_str()),
        b"not UTF-8",
    )
    .expect("a file");
    fs::hard_link(at.join("size-4097"), at.join("deep/er/linked")).expect("a link");
    symlink("size-1", at.join("short")).expect("a link");
    symlink("x/".repeat(1000), at.join("long")).expect("a link");
    symlink("y".repeat(4095), at.join("longest")).expect("a link");
    fs::set_permissions(at.join("size-1"), fs::Permissions::from_mode(0o4755)).expect("chmod");
    fs::set_permissions(at.join("empty"), fs::Permissions::from_mode(0o1777)).expect("chmod");
    let attribute = |file: &str, name: &str, value: &[u8]| {
        let name = CString::new(name).expect("no NUL");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(at.join(file), name, value, flags).expect("an attribute");
    };
    attribute("size-513", "user.one", b"1");
    attribute("size-513", "user.empty", b"");
    attribute("size-4000", "user.big", &noise(2000, 3));
    for k in 0..40 {
        attribute(
            &format!("wide/a rather long name, number {k:05}"),
            "user.shared",
            b"the same everywhere",
        );
    }
    if root {
        attribute("empty", "trusted.overlay.opaque", b"y");
        attribute("size-0", "security.ondine", &noise(20, 5));
        let node = |name: &str, kind, major, minor| {
            let device = rustix::fs::makedev(major, minor);
            let mode = rustix::fs::Mode::from_raw_mode(0o640);
            rustix::fs::mknodat(rustix::fs::CWD, at.join(name), kind, mode, device)
                .expect("a node");
        };
        use rustix::fs::FileType;
        node("char", FileType::CharacterDevice, 240, 70_000);
        node("block", FileType::BlockDevice, 4095, 1_048_575);
        node("fifo", FileType::Fifo, 0, 0);
        node("socket", FileType::Socket, 0, 0);
        std::os::unix::fs::lchown(at.join("size-512"), Some(100_000), Some(4_000_000_000))
            .expect("chown");
    }
}

/// Gives every node a distinct time in the past, some before 1970: mkfs.erofs replaces times not older
/// than its build by the second of the build.
fn age(at: &Path) {
    let mut todo = vec![at.to_owned()];
    let mut seconds = -40_000_000;
    while let Some(path) = todo.pop() {
        if path.symlink_metadata().expect("it is there").is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            todo.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        let time = rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: seconds.rem_euclid(977) * 1_000_007,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).expect("a time");
        seconds += 1_000_003;
    }
}

struct Case {
    directory: TempDir,
    truth: Observation,
}

impl Case {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).expect("a directory");
        source(&tree, rustix::process::geteuid().is_root());
        age(&tree);
        let truth = observe::directory(&tree, &observe::Options::default());
        Self { directory, truth }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make(&self, options: &[&str]) -> Image {
        make(&self.path("image"), &self.path("tree"), options);
        Image::open_files(&self.path("image"), &[] as &[&Path]).expect("it mounts")
    }

    fn assert_same(&self, image: &Image, scope: &Scope, what: &str) -> Observation {
        let seen = image.observe();
        let found = diff(&seen, &self.truth, scope);
        assert!(
            found.is_empty(),
            "{what}: {} ({} in all)",
            found[0],
            found.len()
        );
        assert!(seen.paths() > 700, "{what}: only {} paths", seen.paths());
        seen
    }
}

fn scope() -> Scope {
    Scope::source("the model", "the source")
}

/// The data layouts of all regular files.
fn layouts(image: &Image, seen: &Observation) -> Vec<Layout> {
    let files = seen
        .entries
        .iter()
        .filter(|(_, entry)| entry.content.is_some());
    let resolved = files.map(|(path, _)| image.resolve(path.as_bytes()).expect("it was seen"));
    resolved.map(|inode| inode.layout).collect()
}

pub(crate) fn every_uncompressed_shape_reads_as_its_source() {
    let case = Case::new();
    for options in [
        &["-b4096"][..],
        &["-b2048"],
        &["-b1024"],
        &["-b512"],
        &["-Enoinline_data"],
        &["-Eforce-inode-extended"],
        &["-Enosbcrc"],
        &["--chunksize=4096"],
        &["--chunksize=65536", "-Eforce-chunk-indexes"],
        &["-b512", "--chunksize=1024", "-Eforce-inode-blockmap"],
        &["-x1"],
        &["-Exattr-name-filter"],
        &["-E48bit"],
        &["-E48bit", "--chunksize=8192"],
        &["-Edot-omitted"],
        &[
            "--xattr-prefix=user.sh",
            "--xattr-prefix=trusted.overlay.",
            "-x1",
        ],
        &["-Eplain-xattr-prefixes", "--xattr-prefix=user.sh"],
    ] {
        let image = case.make(options);
        let mut scope = scope();
        // mkfs.erofs then writes compact inodes without nanoseconds, and times before its epoch
        // wrap.
        scope.mtime = !(options.contains(&"-E48bit") || options.contains(&"-Edot-omitted"));
        scope.root_mtime = scope.mtime;
        case.assert_same(&image, &scope, &format!("mkfs.erofs {options:?}"));
    }
}

pub(crate) fn the_layouts_that_were_asked_for_are_the_ones_that_were_read() {
    let case = Case::new();
    let image = case.make(&["-b4096"]);
    let found = layouts(&image, &case.assert_same(&image, &scope(), "default"));
    assert!(found
        .iter()
        .any(|layout| matches!(layout, Layout::Inline { .. })));
    let image = case.make(&["-Enoinline_data"]);
    let found = layouts(&image, &case.assert_same(&image, &scope(), "plain"));
    assert!(found
        .iter()
        .any(|layout| matches!(layout, Layout::Plain { .. })));
    let image = case.make(&["--chunksize=4096", "-Eforce-chunk-indexes"]);
    let seen = case.assert_same(&image, &scope(), "chunks");
    let indexed = |layout: &Layout| matches!(layout, Layout::Chunks { indexes: true, .. });
    assert!(layouts(&image, &seen).iter().any(indexed));
    let sparse = seen.entries[&Text::from("sparse")]
        .data
        .clone()
        .expect("a file")
        .expect("mapped");
    assert_eq!(
        (sparse[0].start, sparse[0].end),
        (196_608, 208_896),
        "{sparse:?}"
    );
}

pub(crate) fn extended_and_compact_inodes_hold_the_same_but_for_their_width() {
    let case = Case::new();
    let image = case.make(&["-Eforce-inode-compact", "--all-root"]);
    let mut seen = image.observe();
    let mut truth = case.truth.clone();
    for of in [&mut seen, &mut truth] {
        for entry in of.entries.values_mut() {
            let stat = entry.stat.as_mut().expect("sound");
            (stat.uid, stat.gid, stat.mtime) = (0, 0, (0, 0));
        }
    }
    let found = diff(&seen, &truth, &scope());
    assert!(found.is_empty(), "{}", found[0]);
}

pub(crate) fn a_blob_reads_alike_as_a_device_and_not_at_all_when_it_is_missing() {
    let case = Case::new();
    let blob = case.path("blob");
    let image = case.path("image");
    let blobdev = format!("--blobdev={}", blob.display());
    make(&image, &case.path("tree"), &["--chunksize=4096", &blobdev]);
    let multi = Image::open_files(&image, &[&blob]).expect("it mounts");
    case.assert_same(&multi, &scope(), "with its blob");
    assert_eq!(multi.devices().slots.len(), 1);

    let refused = Image::open_files(&image, &[&blob, &blob])
        .err()
        .expect("two blobs for one slot");
    assert_eq!(refused.errno, Errno::EINVAL);

    // Flat mode: the blob's blocks are addressed after the end of the image.
    let alone = Image::open_files(&image, &[] as &[&Path]).expect("it mounts without its blob");
    let content = alone.observe().entries[&Text::from("size-300001")]
        .content
        .clone();
    assert_eq!(content, Some(Err(Errno::EIO)));

    let start = multi.devices().slots[0].unified * multi.superblock().block_size();
    let mut flat = fs::read(&image).expect("the image");
    flat.resize(usize::try_from(start).expect("small"), 0);
    flat.extend(fs::read(&blob).expect("the blob"));
    let flat = Image::open(flat, Setup::default()).expect("it mounts");
    case.assert_same(&flat, &scope(), "flattened");
}

pub(crate) fn a_compressed_image_mounts_and_its_compressed_files_alone_fail() {
    let case = Case::new();
    let image = case.make(&["-zlz4"]);
    let seen = image.observe();
    let failed: Vec<_> = seen
        .entries
        .iter()
        .filter_map(|(path, entry)| Some((path, entry.stat.as_ref().err()?)))
        .collect();
    assert!(
        failed.iter().all(|(_, errno)| **errno == Errno::EOPNOTSUPP),
        "{failed:?}"
    );
    assert!(
        failed.iter().any(|(path, _)| **path == Text::from("zeros")),
        "{failed:?}"
    );
    let wide = seen.entries[&Text::from("wide")]
        .listing
        .clone()
        .expect("a directory");
    assert_eq!((wide.names.len(), wide.ended), (700, None));
}

pub(crate) fn lookup_finds_exactly_what_readdir_lists() {
    let case = Case::new();
    for options in [&["-b512"][..], &["-b4096"]] {
        let image = case.make(options);
        let wide = image.resolve(b"wide").expect("it is there");
        assert_eq!(wide.kind, Kind::Directory);
        for entry in image.readdir(&wide) {
            let entry = entry.expect("sound");
            assert_eq!(
                image.lookup(&wide, entry.name.as_bytes()).expect("sound"),
                Some(entry)
            );
        }
        for absent in [
            &b"!"[..],
            b"a",
            b"zzz",
            b"a rather long name, number 00350x",
            b".",
            b"..",
            b"...",
        ] {
            let dots = matches!(absent, b"." | b"..");
            assert_eq!(image.lookup(&wide, absent).expect("sound").is_some(), dots);
        }
        let long = image.lookup(&wide, &[b'n'; 256]).expect_err("too long");
        assert_eq!(long.errno, Errno::ENAMETOOLONG);
    }
}

pub(crate) fn a_changed_byte_under_the_checksum_refuses_the_mount() {
    let case = Case::new();
    case.make(&[]);
    let mut bytes = fs::read(case.path("image")).expect("the image");
    bytes[1024 + 64] ^= 1;
    let refused = Image::open(bytes, Setup::default())
        .err()
        .expect("a bad checksum");
    assert_eq!(refused.errno, Errno::EBADMSG);
}

pub(crate) fn an_index_of_a_tar_archive_is_sound() {
    let case = Case::new();
    let tar = case.path("tree.tar");
    let archived = Command::new("tar")
        .args(["--sort=name", "-cf"])
        .arg(&tar)
        .arg("-C")
        .arg(case.path("tree"))
        .arg(".")
        .status();
    assert!(archived.expect("tar runs").success());
    make(&case.path("image"), &tar, &["--tar=i"]);
    let image = Image::open_files(&case.path("image"), &[&tar]).expect("it mounts");
    // mkfs.erofs writes files of chunks here without the feature bit.
    assert!(!image.superblock().has_chunks());
    let findings = check::files(&case.path("image"), &[&tar]);
    let bits = |found: &&Finding| found.defect == Some(Defect::FeatureBit);
    assert!(findings.iter().any(|found| bits(&found)));
    let wrong = findings.iter().find(|found| found.is_wrong());
    assert!(wrong.is_none(), "{}", wrong.expect("a defect"));
}
