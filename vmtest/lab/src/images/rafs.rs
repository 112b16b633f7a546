// SPDX-License-Identifier: Apache-2.0 OR MIT

//! RAFS v6 images: committed samples made by a newer release of nydus, and the default tree converted
//! by nydus-image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use xshell::{cmd, Shell};

use super::decode::{blobs, decode};
use super::{ExpectedDifferences, ImageSpec, Tree};
use crate::cache::{Cache, Key};
use crate::provision::nydus::{Nydus, VERSION};
use crate::step::Step;

/// A RAFS v6 image.
#[derive(Clone, Debug)]
pub struct Rafs {
    /// The bootstrap and the decoded blobs.
    pub spec: ImageSpec,
    /// The directory of the stored blobs, and their names.
    pub stored: (PathBuf, Vec<String>),
    /// sha256 of each regular file, by path. Samples only: the list was made with the sample.
    pub sums: BTreeMap<String, String>,
}

/// The directories of the samples.
const SAMPLES: [&str; 4] = ["s_none_64k", "s_zstd_1m", "s_zstd_toc", "s_zstd_batch"];

/// The known differences of nydus-image: it writes time 0 for the root directory, and refuses ACLs,
/// because it requires a name after an xattr prefix and the prefix of an ACL is its whole name.
const TERMS: ExpectedDifferences = ExpectedDifferences {
    cut_times: false,
    free_root: true,
    left_out: &["ondine/attributes/acl", "ondine/attributes/acl-directory"],
    not_c_from_file: None,
    not_c: None,
    c_once: false,
};

/// A sample that nydusd [`VERSION`] cannot read, and the reason.
pub type LeftOut = (&'static str, String);

/// The samples that nydusd [`VERSION`] can read, and those that it cannot.
///
/// # Errors
/// When the samples are missing or cannot be decoded.
pub fn samples(repo: &Path, cache: &Cache) -> Result<(Vec<Rafs>, Vec<LeftOut>)> {
    let home = repo.join("model/tests/samples/rafs-v6");
    ensure!(
        home.is_dir(),
        "the RAFS samples are not at {}: restore them with `git checkout model/tests/samples`",
        home.display()
    );
    let home = home.canonicalize()?;
    let sums = sums(&home.join("tree_small.sha256.gz"))?;
    let (mut readable, mut others) = (Vec::new(), Vec::new());
    for name in SAMPLES {
        let bootstrap = home.join(name).join("bootstrap");
        if let Some(blob) = blobs(&bootstrap)?.iter().find(|blob| blob.packing != 0) {
            let why = format!(
                "its blob packs chunks by features {:#x}, which nydusd {VERSION} does not know",
                blob.packing
            );
            others.push((name, why));
            continue;
        }
        let stored = home.join(name).join("blobs");
        let image = image(cache, name, bootstrap, stored, None)?;
        readable.push(Rafs {
            sums: sums.clone(),
            ..image
        });
    }
    Ok((readable, others))
}

/// Converts the tree at `root` with the default options of nydus-image, if it is not in the cache.
///
/// # Errors
/// When nydus-image fails.
pub fn converted(cache: &Cache, nydus: &Nydus, name: &str, root: &Path) -> Result<Rafs> {
    let tree = Tree::open(root)?;
    let program = &nydus.image;
    let key = Key::new()
        .add("rafs 2")
        .add(tree.key())
        .add(program.as_os_str().as_encoded_bytes());
    let step = format!("rafs-{name}");
    let dir = cache.step(&step, &key, |draft| {
        let step = Step::begin(cache, &step, format!("converting {name} into RAFS v6"))?;
        let (bootstrap, blobs) = (draft.join("bootstrap"), draft.join("blobs"));
        fs::create_dir(&blobs)?;
        let shell = Shell::new()?;
        // nydus-image has no option to exclude a path: convert a copy without these paths.
        let (root, copy) = (&tree.root, draft.join("copy"));
        step.run(cmd!(shell, "cp --archive {root} {copy}"))?;
        for path in TERMS.left_out {
            shell.remove_path(copy.join(path))?;
            // Removing an entry has changed the directory's time stamp.
            let parent = Path::new(path).parent().context("a path without parent")?;
            let (had, has) = (root.join(parent), copy.join(parent));
            step.run(cmd!(shell, "touch --reference {had} {has}"))?;
        }
        step.run(cmd!(
            shell,
            "{program} create --fs-version 6 --bootstrap {bootstrap} --blob-dir {blobs} {copy}"
        ))?;
        Ok(shell.remove_path(copy)?)
    })?;
    image(
        cache,
        name,
        dir.join("bootstrap"),
        dir.join("blobs"),
        Some(tree.root),
    )
}

fn image(
    cache: &Cache,
    name: &str,
    bootstrap: PathBuf,
    stored: PathBuf,
    source: Option<PathBuf>,
) -> Result<Rafs> {
    let key = Key::new().add("decoded 1").file(&bootstrap)?;
    let decoded = cache.step("decoded", &key, |draft| {
        decode(&bootstrap, &stored, draft).map(drop)
    })?;
    let names: Vec<String> = blobs(&bootstrap)?.into_iter().map(|b| b.id).collect();
    let device = |slot| decoded.join(format!("blob-{slot}"));
    Ok(Rafs {
        spec: ImageSpec {
            name: name.to_owned(),
            primary: bootstrap,
            devices: (0..names.len()).map(device).collect(),
            options: Vec::new(),
            source,
            terms: TERMS,
            expected: None,
        },
        stored: (stored, names),
        sums: BTreeMap::new(),
    })
}

/// Reads a list of sha256sum(1) from the compressed file `packed`.
fn sums(packed: &Path) -> Result<BTreeMap<String, String>> {
    let shell = Shell::new()?;
    let text = cmd!(shell, "gzip --decompress --stdout {packed}")
        .quiet()
        .read()?;
    let line = |line: &str| {
        let (sum, path) = line
            .split_once("  ./")
            .with_context(|| format!("{line:?} is not a line of sha256sum"))?;
        Ok((path.to_owned(), sum.to_owned()))
    };
    text.lines().map(line).collect()
}
