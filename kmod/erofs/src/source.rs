// SPDX-License-Identifier: GPL-2.0

//! Source of image bytes.

use crate::{Defect, Error};

/// Address space of metadata (docs/spec/erofs-format.md section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The image itself. Offsets count from its first byte.
    Primary,
    /// The contents of the metabox inode.
    Metabox,
    /// The contents of the packed inode.
    Packed,
}

/// Source of metadata bytes.
///
/// The kernel reads through a page cache, tests from a slice. A read beyond the end of a space
/// fails with [`Defect::OutsideImage`] or, in the metabox, [`Defect::OutsideMetabox`].
pub trait Source {
    /// Error of reading bytes.
    type Error;

    /// Fills `buf` with the bytes of `space` from `offset`, which may be any number: values above
    /// `i64::MAX` are not file offsets.
    ///
    /// # Errors
    ///
    /// When any byte cannot be read. The contents of `buf` are then unspecified.
    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<Self::Error>>;
}

impl<S: Source + ?Sized> Source for &S {
    type Error = S::Error;

    #[inline]
    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<Self::Error>> {
        (**self).read(space, offset, buf)
    }
}

/// A complete image in memory, with the primary space only.
///
/// Bytes outside of it yield [`Defect::OutsideImage`].
#[derive(Clone, Copy, Debug)]
pub struct SliceSource<'a>(pub &'a [u8]);

impl Source for SliceSource<'_> {
    type Error = core::convert::Infallible;

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<Self::Error>> {
        if space != Space::Primary {
            return Err(Defect::OutsideImage.into());
        }
        let from = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..))
            .and_then(|tail| tail.get(..buf.len()))
            .ok_or(Defect::OutsideImage)?;
        for (to, from) in buf.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(())
    }
}
