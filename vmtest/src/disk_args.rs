// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The option `--disk` of the commands that keep a cache on a disk.

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use vmtest_wire::disk::DiskFs;

/// The choice of the file system below a cache.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DiskArgs {
    /// File system of the disk with the caches
    #[arg(long, value_name = "NAME", default_value = "ext4", value_parser =
        PossibleValuesParser::new(DiskFs::ALL.map(DiskFs::as_str)).try_map(parse))]
    pub disk: DiskFs,
}

fn parse(name: String) -> Result<DiskFs, String> {
    DiskFs::named(&name).ok_or(name)
}
