// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A mounted image.

use std::fs::File;
use std::path::Path;

use super::prefix;
use super::{DeviceBytes, Devices, Fault, Inode, Prefix, Result, Space, Superblock};
use crate::observation::{Errno, Kind};
use crate::strictness::Defect;

/// Mount parameters other than the image.
pub struct Setup {
    /// Blobs in slot order; empty for flat mode if the image has a device table.
    pub devices: Vec<Box<dyn DeviceBytes>>,
    /// Page size of the kernel in bytes, a power of two of at least 4096.
    pub page_size: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            page_size: 4096,
        }
    }
}

/// An image that passed the checks of docs/spec/erofs-format.md section 2.5, with its root
/// directory loaded.
pub struct Image {
    pub(super) sb: Superblock,
    pub(super) devices: Devices,
    pub(super) metabox: Option<Inode>,
    pub(super) packed: Option<Inode>,
    pub(super) prefixes: Vec<Prefix>,
    pub(super) page_size: u64,
    root: Option<Inode>,
}

impl Image {
    /// Mounts an image.
    ///
    /// # Errors
    /// The first check that fails, in the order of docs/spec/erofs-format.md section 2.5.
    pub fn open(primary: impl DeviceBytes + 'static, setup: Setup) -> Result<Self> {
        let sb = Superblock::read(&primary, setup.page_size)?;
        let devices = Devices::read(Box::new(primary), setup.devices, &sb)?;
        let (packed, metabox, root) = (sb.packed_nid, sb.metabox_nid, sb.root_nid);
        let mut image = Self {
            sb,
            devices,
            metabox: None,
            packed: None,
            prefixes: Vec::new(),
            page_size: setup.page_size,
            root: None,
        };
        let special = |image: &Self, nid: Option<u64>, name| match nid {
            Some(nid) => image
                .inode(nid)
                .map(Some)
                .map_err(|fault: Fault| fault.of(name)),
            None => Ok(None),
        };
        image.packed = match special(&image, packed, "packed inode") {
            // It holds the tails of compressed files, which cannot be read anyway; all other files
            // can.
            Err(fault)
                if fault.defect == Some(Defect::Compressed)
                    && (image.sb.prefix_count == 0
                        || prefix::space(&image.sb, true) != Space::Packed) =>
            {
                None
            }
            packed => packed?,
        };
        image.metabox = special(&image, metabox, "metabox")?;
        let root = image.inode(root).map_err(|fault| fault.of("root"))?;
        if root.kind != Kind::Directory {
            let why = format!("root: inode {:#x} is {}", root.nid, root.kind);
            return Err(Defect::RootNotDirectory.fault(why));
        }
        image.root = Some(root);
        let packed = image.packed.is_some();
        image.prefixes = prefix::table(&image.sb, packed, |place, len| image.metadata(place, len))?;
        Ok(image)
    }

    /// Mounts image files, the blobs in slot order.
    ///
    /// # Errors
    /// As [`Image::open`]; an open(2) error keeps its errno and names the file.
    pub fn open_files(primary: &Path, devices: &[impl AsRef<Path>]) -> Result<Self> {
        let open = |path: &Path| {
            let failed =
                |error| Fault::other(Errno::from(&error), format!("{}: {error}", path.display()));
            File::open(path).map_err(failed)
        };
        let mut setup = Setup::default();
        for device in devices {
            setup.devices.push(Box::new(open(device.as_ref())?));
        }
        Self::open(open(primary)?, setup)
    }

    /// The superblock.
    pub fn superblock(&self) -> &Superblock {
        &self.sb
    }

    /// The devices.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The root directory.
    pub fn root(&self) -> &Inode {
        self.root.as_ref().expect("open loaded it")
    }

    /// The metabox and packed inodes, if the image has them.
    pub fn special(&self) -> impl Iterator<Item = (&'static str, &Inode)> {
        let named = [("metabox", &self.metabox), ("packed", &self.packed)];
        named
            .into_iter()
            .filter_map(|(name, inode)| Some((name, inode.as_ref()?)))
    }

    /// The long attribute prefixes.
    pub fn prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Resolves a path from the root by lookups; symbolic links are not followed.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, or an error of lookup or inode load.
    pub fn resolve(&self, path: &[u8]) -> Result<Inode> {
        let mut inode = self.root().clone();
        for name in path
            .split(|byte| *byte == b'/')
            .filter(|name| !matches!(*name, b"" | b"."))
        {
            let shown = String::from_utf8_lossy(name);
            if inode.kind != Kind::Directory {
                return Err(Fault::other(
                    Errno::ENOTDIR,
                    format!("{shown}: its parent is {}", inode.kind),
                ));
            }
            let Some(entry) = self.lookup(&inode, name)? else {
                return Err(Fault::other(
                    Errno::ENOENT,
                    format!("{shown}: there is no such name"),
                ));
            };
            inode = self.inode(entry.nid)?;
        }
        Ok(inode)
    }
}
