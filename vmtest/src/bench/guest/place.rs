// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is mounted, and how.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ondine_model::observation::Errno;

use super::store::{MEMORY, STORE};
use crate::bench::figure::{Form, FLOOR, NATIVE};
use crate::guest::job::{Backing, Observer, Row};
use crate::guest::mounts::Mounted;

/// One thing to measure on.
pub(super) struct Place {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) form: Form,
    how: How,
}

enum How {
    /// A path that is there anyway.
    There,
    /// An image: file system type, kind of source, options.
    Image(&'static str, Backing, &'static str),
}

const fn there(name: &'static str, form: Form) -> Place {
    Place {
        name,
        form,
        how: How::There,
    }
}

const fn on(
    form: Form,
    name: &'static str,
    fs: &'static str,
    backing: Backing,
    options: &'static str,
) -> Place {
    Place {
        name,
        form,
        how: How::Image(fs, backing, options),
    }
}

use Backing::{File, Loop};
use Form::{ChunkedTree, LargeFile, Tree};

/// In the order of measuring: what is compared closely is measured soon after one another.
pub(super) const PLACES: &[Place] = &[
    there(FLOOR, Tree),
    there(NATIVE, Tree),
    on(Tree, "C file", "erofs", File, ""),
    on(Tree, "ondine file", "ondine", File, ""),
    on(Tree, "C directio", "erofs", File, "directio"),
    on(Tree, "ondine directio", "ondine", File, "directio"),
    on(Tree, "C loop", "erofs", Loop, ""),
    on(Tree, "ondine loop", "ondine", Loop, ""),
    on(ChunkedTree, "C file", "erofs", File, ""),
    on(ChunkedTree, "ondine file", "ondine", File, ""),
    on(ChunkedTree, "C directio", "erofs", File, "directio"),
    on(ChunkedTree, "ondine directio", "ondine", File, "directio"),
    there(NATIVE, LargeFile),
    on(LargeFile, "C file", "erofs", File, ""),
    on(LargeFile, "ondine file", "ondine", File, ""),
    on(LargeFile, "C directio", "erofs", File, "directio"),
    on(LargeFile, "ondine directio", "ondine", File, "directio"),
    on(LargeFile, "C loop", "erofs", Loop, ""),
    on(LargeFile, "ondine loop", "ondine", Loop, ""),
];

impl Place {
    /// Makes it available: the tree's root or the large file, and the mount to undo afterwards.
    ///
    /// The inner error is the kernel's answer to the mount.
    pub(super) fn open(&self) -> Result<Result<(PathBuf, Option<Mounted>), Errno>> {
        let How::Image(fs, backing, options) = &self.how else {
            let path = match (self.form, self.name) {
                (LargeFile, _) => PathBuf::from(format!("{STORE}/large.blob")),
                (_, FLOOR) => PathBuf::from(MEMORY),
                _ => PathBuf::from(format!("{STORE}/native")),
            };
            return Ok(Ok((path, None)));
        };
        let (stem, devices) = match self.form {
            Tree => ("tree", Vec::new()),
            ChunkedTree => ("chunked", vec![format!("{STORE}/chunked.blob")]),
            LargeFile => ("large", vec![format!("{STORE}/large.blob")]),
        };
        let options = Some(*options).filter(|o| !o.is_empty());
        let row = Row {
            name: self.name.to_owned(),
            primary: format!("{STORE}/{stem}.erofs"),
            devices,
            options: options.into_iter().map(str::to_owned).collect(),
            observers: Vec::new(),
        };
        let point = Path::new("/mounted");
        let mounted = Mounted::image(&row, &Observer::new(fs, *backing), point)?;
        Ok(mounted.map(|mounted| {
            let path = if self.form == LargeFile {
                mounted.point.join("large")
            } else {
                mounted.point.clone()
            };
            (path, Some(mounted))
        }))
    }
}
