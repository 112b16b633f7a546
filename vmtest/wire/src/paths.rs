// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Directories of a guest that both host and guest programs use.

/// The mount point of the host's root without the overlays of `/tmp`, `/var` and `/etc`. Files below
/// it can back a file-backed mount, which refuses a stacked file system.
pub const HOST_VIEW: &str = "/run/host";

/// The scratch directory of the guest, a tmpfs.
pub const SCRATCH: &str = "/run/scratch";

/// The mount point of the disk with the images.
pub const IMAGE_DISK: &str = "/run/ondine/images";
