// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What is mounted, and how.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Result};
use ondine_model::observation::Errno;
use serde::{Deserialize, Serialize};

use super::daemon::Filling;
use super::marked::Marked;
use super::store::{MEMORY, STORE};
use crate::bench::figure::{
    Form, C_DIRECT, C_FILE, C_FSCACHE, C_MARKED, FLOOR, FSCACHE_NATIVE, NATIVE, ON_DEMAND, SUBJECT,
};
use crate::guest::job::{Backing, Observer, Row};
use crate::guest::mounts::Mounted;

/// Places that are measured in one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Set {
    /// Images in files and on loop devices.
    Files,
    /// Ondine on demand, and what mainline has in its place.
    OnDemand,
    /// The C driver on demand, on the kernel that has it.
    Fscache,
}

/// One thing to measure on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// What it shows.
    pub(super) form: Form,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// A path that is there anyway.
    There,
    /// An image: file system type, kind of source, options.
    Image(&'static str, Backing, &'static str),
    /// An image in files of the C driver's, every read of its blob announced to a group.
    Marked,
    /// An image on demand, by this file system type, the cache full.
    OnDemand(&'static str),
}

const fn place(form: Form, name: &'static str, how: How) -> Place {
    Place { name, form, how }
}

const fn there(name: &'static str, form: Form) -> Place {
    place(form, name, How::There)
}

const fn on(
    form: Form,
    name: &'static str,
    fs: &'static str,
    backing: Backing,
    options: &'static str,
) -> Place {
    place(form, name, How::Image(fs, backing, options))
}

use Backing::{File, Loop};
use Form::{BlobFile, ChunkedTree, LargeFile, Tree};

/// In the order of measuring: what is compared closely is measured soon after one another.
const FILES: &[Place] = &[
    there(FLOOR, Tree),
    there(NATIVE, Tree),
    on(Tree, C_FILE, "erofs", File, ""),
    on(Tree, SUBJECT, "ondine", File, ""),
    on(Tree, C_DIRECT, "erofs", File, "directio"),
    on(Tree, "ondine directio", "ondine", File, "directio"),
    on(Tree, "C loop", "erofs", Loop, ""),
    on(Tree, "ondine loop", "ondine", Loop, ""),
    on(ChunkedTree, C_FILE, "erofs", File, ""),
    on(ChunkedTree, SUBJECT, "ondine", File, ""),
    on(ChunkedTree, C_DIRECT, "erofs", File, "directio"),
    on(ChunkedTree, "ondine directio", "ondine", File, "directio"),
    there(NATIVE, LargeFile),
    on(LargeFile, C_FILE, "erofs", File, ""),
    on(LargeFile, SUBJECT, "ondine", File, ""),
    on(LargeFile, C_DIRECT, "erofs", File, "directio"),
    on(LargeFile, "ondine directio", "ondine", File, "directio"),
    on(LargeFile, "C loop", "erofs", Loop, ""),
    on(LargeFile, "ondine loop", "ondine", Loop, ""),
];

const DEMAND: &[Place] = &[
    there(NATIVE, BlobFile),
    place(BlobFile, ON_DEMAND, How::OnDemand("ondine")),
    on(BlobFile, C_FILE, "erofs", File, ""),
    on(BlobFile, C_DIRECT, "erofs", File, "directio"),
    place(BlobFile, C_MARKED, How::Marked),
    on(ChunkedTree, C_FILE, "erofs", File, ""),
    place(ChunkedTree, ON_DEMAND, How::OnDemand("ondine")),
    on(ChunkedTree, C_DIRECT, "erofs", File, "directio"),
    place(ChunkedTree, C_MARKED, How::Marked),
];

const FSCACHE: &[Place] = &[
    there(FSCACHE_NATIVE, BlobFile),
    place(BlobFile, C_FSCACHE, How::OnDemand("erofs")),
    place(ChunkedTree, C_FSCACHE, How::OnDemand("erofs")),
];

/// The places of `sets`, each once.
pub(super) fn of(sets: &[Set]) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    for set in sets {
        let places = match set {
            Set::Files => FILES,
            Set::OnDemand => DEMAND,
            Set::Fscache => FSCACHE,
        };
        for place in places {
            if !all.contains(place) {
                all.push(*place);
            }
        }
    }
    all
}

/// A place that is available until it is closed.
pub(super) struct Open {
    /// The tree's root, or the file.
    pub(super) path: PathBuf,
    mounted: Option<Mounted>,
    /// What a mount needs beside it. It is dropped after the mount.
    beside: Beside,
}

enum Beside {
    Nothing,
    Daemon(Filling),
    Marked(Marked),
}

impl Place {
    /// Makes it available; the inner error is the kernel's answer to the mount.
    ///
    /// `daemon` is the program that serves what is on demand.
    pub(super) fn open(&self, daemon: &Path) -> Result<Result<Open, Errno>> {
        let (stem, devices): (_, &[&str]) = match self.form {
            Tree => ("tree", &[]),
            ChunkedTree => ("chunked", &["chunked.blob"]),
            LargeFile => ("large", &["large.blob"]),
            BlobFile => ("blob", &["blob.blob"]),
        };
        let in_store = |name: &&str| format!("{STORE}/{name}");
        let (beside, mounted) = match self.how {
            How::There => {
                let path = match (self.form, devices) {
                    (LargeFile | BlobFile, [blob]) => in_store(blob),
                    _ if self.name == FLOOR => MEMORY.to_owned(),
                    _ => format!("{STORE}/native"),
                };
                return Ok(Ok(Open {
                    path: path.into(),
                    mounted: None,
                    beside: Beside::Nothing,
                }));
            }
            How::Image(fs, backing, options) => {
                let mounted = self.image(stem, devices, fs, backing, options)?;
                (Beside::Nothing, mounted)
            }
            How::Marked => {
                // The mark must be there before the mount opens the file.
                let marked = Marked::new(Path::new(&in_store(&devices[0])))?;
                let mounted = self.image(stem, devices, "erofs", File, "")?;
                (Beside::Marked(marked), mounted)
            }
            How::OnDemand(fs) => {
                let served = Filling::start(daemon, Path::new(STORE))?;
                let devices = devices.iter().map(|name| format!(",device={name}"));
                let options = format!("fsid={stem}.erofs{}", devices.collect::<String>());
                let mounted = Mounted::plain(fs, Path::new("none"), Path::new(POINT), &options)?;
                (Beside::Daemon(served), mounted)
            }
        };
        let mounted = match mounted {
            Ok(mounted) => mounted,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut open = Open {
            path: match self.form {
                Tree | ChunkedTree => mounted.point.clone(),
                LargeFile | BlobFile => mounted.point.join("large"),
            },
            mounted: Some(mounted),
            beside,
        };
        if let Beside::Daemon(daemon) = &mut open.beside {
            daemon.await_full_cache()?;
        }
        Ok(Ok(open))
    }

    fn image(
        &self,
        stem: &str,
        devices: &[&str],
        fs: &str,
        backing: Backing,
        options: &str,
    ) -> Result<Result<Mounted, Errno>> {
        let options = Some(options).filter(|o| !o.is_empty());
        let row = Row {
            name: self.name.to_owned(),
            primary: format!("{STORE}/{stem}.erofs"),
            devices: devices
                .iter()
                .map(|name| format!("{STORE}/{name}"))
                .collect(),
            options: options.into_iter().map(str::to_owned).collect(),
            observers: Vec::new(),
        };
        Mounted::image(&row, &Observer::new(fs, backing), Path::new(POINT))
    }
}

/// Where images are mounted.
const POINT: &str = "/mounted";

impl Open {
    /// Unmounts it, and makes sure that what was measured was what its name says.
    pub(super) fn close(self) -> Result<()> {
        let wakes = match &self.beside {
            Beside::Daemon(daemon) => daemon.woken()?,
            _ => false,
        };
        if let Some(mounted) = self.mounted {
            let left = mounted.unmount();
            ensure!(left.is_ok(), "it does not unmount: {left:?}");
        }
        ensure!(
            !wakes,
            "the daemon was asked for something: the cache was not full"
        );
        match self.beside {
            Beside::Nothing => Ok(()),
            Beside::Daemon(daemon) => daemon.stop(),
            Beside::Marked(marked) => {
                let events = marked.stop()?;
                ensure!(events > 0, "no read of the marked blob was announced");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_is_measured_twice() {
        let all = of(&[Set::Files, Set::OnDemand]);
        for (n, place) in all.iter().enumerate() {
            let same = |p: &&Place| p.form == place.form && p.name == place.name;
            assert_eq!(all[..n].iter().find(same).map(|p| p.name), None);
        }
        assert!(all.len() < FILES.len() + DEMAND.len());
    }
}
