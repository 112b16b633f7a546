// SPDX-License-Identifier: GPL-2.0

//! Errors of the pure crate, as errnos.

use super::Ondine;
use crate::vfs::SuperBlock;
use kernel::prelude::*;
use ondine_erofs::{Defect, Errno};

/// Result of parsing metadata of the image.
pub(super) type ImageResult<T> = core::result::Result<T, ondine_erofs::Error<kernel::error::Error>>;

/// The errno of a defect.
pub(super) fn errno(defect: Defect) -> kernel::error::Error {
    kernel::error::Error::from_errno(defect.errno().number().wrapping_neg())
}

/// Maps the error of a result to an errno. Logs a defect of the image, but not a
/// request that the image cannot satisfy.
pub(super) fn checked<T>(sb: &SuperBlock<Ondine>, nid: u64, result: ImageResult<T>) -> Result<T> {
    result.map_err(|error| match error {
        ondine_erofs::Error::Source(error) => error,
        ondine_erofs::Error::Defect(defect) => {
            let expected = [Errno::ENODATA, Errno::ERANGE, Errno::ENAMETOOLONG];
            if !expected.contains(&defect.errno()) {
                sb.log_defect(nid, defect.message());
            }
            errno(defect)
        }
    })
}
