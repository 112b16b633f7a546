// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Mounts under test: setup and removal of each combination of driver, backing and form.

use std::path::{Path, PathBuf};

use anyhow::{ensure, Result};
use ondine_model::observation::Errno;
use vmtest_wire::bench::{MountUnderTest, MountedData, Set};
use vmtest_wire::image::{Backing, Observer, Row};

use super::fanotify_mark::Marked;
use super::prefetched_cache::PrefetchingDaemon;
use super::ramdisk::{MEMORY, STORE};
use crate::mounts::Mounted;

/// A mount to measure on, and the kind of tree or file in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// Driver, and the source of its data.
    pub(super) mount: MountUnderTest,
    /// Kind of tree or file that the mount presents.
    pub(super) form: MountedData,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Setup {
    /// An existing path; there is nothing to mount.
    Existing,
    /// An image: file system type, kind of source, options.
    Image(&'static str, Backing, &'static str),
    /// An image in files, mounted with the mainline driver, with a fanotify mark on the blob.
    Marked,
    /// An on-demand mount of this file system type, with a full cache.
    OnDemand(&'static str),
}

use Backing::{File, Loop};
use MountedData::{BlobFile, ChunkedTree, LargeFile, Tree};

fn setup(mount: MountUnderTest) -> Setup {
    match mount {
        MountUnderTest::Tmpfs | MountUnderTest::Ext4 | MountUnderTest::FscacheExt4 => {
            Setup::Existing
        }
        MountUnderTest::CFile => Setup::Image("erofs", File, ""),
        MountUnderTest::OndineFile => Setup::Image("ondine", File, ""),
        MountUnderTest::CDirect => Setup::Image("erofs", File, "directio"),
        MountUnderTest::OndineDirect => Setup::Image("ondine", File, "directio"),
        MountUnderTest::CLoop => Setup::Image("erofs", Loop, ""),
        MountUnderTest::OndineLoop => Setup::Image("ondine", Loop, ""),
        MountUnderTest::CMarked => Setup::Marked,
        MountUnderTest::OnDemand => Setup::OnDemand("ondine"),
        MountUnderTest::CFscache => Setup::OnDemand("erofs"),
    }
}

/// Returns the mounts of `sets`, without duplicates.
pub(super) fn of(sets: &[Set]) -> Vec<Target> {
    let mut all: Vec<Target> = Vec::new();
    for (form, mount) in sets.iter().flat_map(|set| set.mounts()).copied() {
        let target = Target { mount, form };
        if !all.contains(&target) {
            all.push(target);
        }
    }
    all
}

/// A mounted target; [`Self::close`] unmounts it.
pub(super) struct OpenTarget {
    /// Root of the tree, or the file.
    pub(super) path: PathBuf,
    mounted: Option<Mounted>,
    /// Daemon or mark that the mount needs; dropped after the mount.
    companion: Companion,
}

enum Companion {
    Nothing,
    Daemon(PrefetchingDaemon),
    Marked(Marked),
}

impl Target {
    /// Mounts the target. The inner error is the errno of mount(2).
    ///
    /// `daemon` is the program that serves on-demand mounts.
    pub(super) fn open(&self, daemon: &Path) -> Result<Result<OpenTarget, Errno>> {
        let (stem, devices): (_, &[&str]) = match self.form {
            Tree => ("tree", &[]),
            ChunkedTree => ("chunked", &["chunked.blob"]),
            LargeFile => ("large", &["large.blob"]),
            BlobFile => ("blob", &["blob.blob"]),
        };
        let in_store = |name: &&str| format!("{STORE}/{name}");
        let (companion, mounted) = match setup(self.mount) {
            Setup::Existing => {
                let path = match (self.form, devices) {
                    (LargeFile | BlobFile, [blob]) => in_store(blob),
                    _ if self.mount == MountUnderTest::Tmpfs => MEMORY.to_owned(),
                    _ => format!("{STORE}/native"),
                };
                return Ok(Ok(OpenTarget {
                    path: path.into(),
                    mounted: None,
                    companion: Companion::Nothing,
                }));
            }
            Setup::Image(fs, backing, options) => {
                let mounted = self.image(stem, devices, fs, backing, options)?;
                (Companion::Nothing, mounted)
            }
            Setup::Marked => {
                // Set the mark before the mount opens the file.
                let marked = Marked::new(Path::new(&in_store(&devices[0])))?;
                let mounted = self.image(stem, devices, "erofs", File, "")?;
                (Companion::Marked(marked), mounted)
            }
            Setup::OnDemand(fs) => {
                let served = PrefetchingDaemon::start(daemon, Path::new(STORE))?;
                let devices = devices.iter().map(|name| format!(",device={name}"));
                let options = format!("fsid={stem}.erofs{}", devices.collect::<String>());
                let mounted = Mounted::plain(fs, Path::new("none"), Path::new(POINT), &options)?;
                (Companion::Daemon(served), mounted)
            }
        };
        let mounted = match mounted {
            Ok(mounted) => mounted,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut open = OpenTarget {
            path: match self.form {
                Tree | ChunkedTree => mounted.point.clone(),
                LargeFile | BlobFile => mounted.point.join("large"),
            },
            mounted: Some(mounted),
            companion,
        };
        if let Companion::Daemon(daemon) = &mut open.companion {
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
            name: self.mount.to_string(),
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

/// Mount point of the images.
const POINT: &str = "/mounted";

impl OpenTarget {
    /// Unmounts the target, and checks that it was measured in the state that its name says.
    pub(super) fn close(self) -> Result<()> {
        let wakes = match &self.companion {
            Companion::Daemon(daemon) => daemon.woken()?,
            _ => false,
        };
        if let Some(mounted) = self.mounted {
            let left = mounted.unmount();
            ensure!(left.is_ok(), "unmounting {POINT}: {left:?}");
        }
        ensure!(
            !wakes,
            "the daemon was woken during the measurement: the cache was not full"
        );
        match self.companion {
            Companion::Nothing => Ok(()),
            Companion::Daemon(daemon) => daemon.stop(),
            Companion::Marked(marked) => {
                let events = marked.stop()?;
                ensure!(events > 0, "no read of the marked blob raised an event");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_target_is_measured_twice() {
        let all = of(&[Set::Files, Set::OnDemand]);
        for (n, target) in all.iter().enumerate() {
            let same = |p: &&Target| p.form == target.form && p.mount == target.mount;
            assert_eq!(all[..n].iter().find(same).map(|p| p.mount), None);
        }
        assert!(all.len() < Set::Files.mounts().len() + Set::OnDemand.mounts().len());
    }
}
