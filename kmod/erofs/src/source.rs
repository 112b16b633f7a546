// SPDX-License-Identifier: GPL-2.0

//! Where image bytes come from.

use crate::{Defect, Error};

/// An address space that metadata can live in (section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The image itself; offsets count from its first byte.
    Primary,
    /// The contents of the metabox inode.
    Metabox,
    /// The contents of the packed inode.
    Packed,
}

/// Gives metadata bytes.
///
/// The kernel reads through a page cache, tests read a slice. A read past the
/// end of a space fails, with [`Defect::OutsideImage`] or, in the metabox,
/// [`Defect::OutsideMetabox`].
pub trait Source {
    /// Why bytes could not be read.
    type Error;

    /// Fills the whole of `buf` with the bytes of `space` from `offset`, which
    /// may be any number: above `i64::MAX` it is no file offset.
    ///
    /// # Errors
    ///
    /// Fails without a promise about `buf` when any byte of it cannot be had.
    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<Self::Error>>;
}

impl<S: Source + ?Sized> Source for &S {
    type Error = S::Error;

    #[inline]
    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Result<(), Error<Self::Error>> {
        (**self).read(space, offset, buf)
    }
}

/// A whole image in memory: the primary space only.
///
/// Every byte outside it is a [`Defect::OutsideImage`].
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
