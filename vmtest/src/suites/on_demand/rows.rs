// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Images as rows of a guest's job.

use vmtest_lab::images::{image_drive, ImageSpec};
use vmtest_wire::image::{Backing, Fill, Observer, Row};

/// The states of a cache, each made from the one before.
const FILLS: [Fill; 3] = [Fill::Empty, Fill::Full, Fill::Half];

/// The rows of a guest's job for `specs`, to be looked at through every state of the cache.
pub(crate) fn packed(specs: &[ImageSpec], drive: &image_drive::Drive) -> Vec<Row> {
    let observers = FILLS.map(|fill| Observer::new("ondine", Backing::Cache(fill)));
    drive.numbered_rows(specs, |_| observers.to_vec())
}
