// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The pure crate as an observer: image bytes, read with the code that the module runs in the kernel.
//!
//! The user-space counterpart of `kmod/src`: it reads bytes for `ondine_erofs`, walks directories, and applies the
//! rules of the VFS to the results.

mod acl;
mod mount;
mod walk;
mod xattr;

use std::fs::File;
use std::path::Path;

use ondine_model::observation::{Errno, Observation};
use ondine_model::observe::Options;
use ondine_model::read::DeviceBytes;

pub use mount::Mount;

/// The page size of the kernels that the harness boots.
const PAGE_SIZE: u32 = 4096;

/// Mounts an image and its blobs (in slot order; none for a flat image) and observes the tree.
///
/// # Errors
/// The errno of the mount.
pub fn observe(
    primary: &dyn DeviceBytes,
    devices: &[&dyn DeviceBytes],
    options: &Options,
) -> Result<Observation, Errno> {
    Ok(Mount::new(primary, devices, PAGE_SIZE)?.observe(options))
}

/// [`observe`] on files.
///
/// # Errors
/// The errno of opening a file, or of the mount.
pub fn observe_files(
    primary: &Path,
    devices: &[impl AsRef<Path>],
    options: &Options,
) -> Result<Observation, Errno> {
    let primary = File::open(primary)?;
    let opened = devices.iter().map(|path| File::open(path.as_ref()));
    let opened = opened.collect::<Result<Vec<_>, _>>()?;
    let devices: Vec<&dyn DeviceBytes> =
        opened.iter().map(|file| file as &dyn DeviceBytes).collect();
    observe(&primary, &devices, options)
}
