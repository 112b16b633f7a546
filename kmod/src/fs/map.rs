// SPDX-License-Identifier: GPL-2.0

//! Mapping file positions to blobs.

use super::{
    error::{checked, ImageResult},
    image::Image,
    Inode, Ondine,
};
use crate::vfs::{Extent, Target, Waiting};
use kernel::prelude::*;
use ondine_erofs::{resolve, Defect, Error, Source, Space};

/// Upper limit of the end of extents: one more than the last signed file
/// position. A file of 2^63 - 1 bytes ends one byte before, in the middle of a
/// block that is mapped as a whole.
const END: u64 = 1 << 63;

pub(super) fn map(
    inode: &Inode,
    position: u64,
    want: u64,
    waiting: Waiting,
) -> Result<Extent<'_, Ondine>> {
    let image = inode.super_block().data();
    let mut extent = if image.mount.is_none() {
        find(inode, position, want, image)
    } else {
        match find(inode, position, want, &Unwaiting(image)) {
            // The records of the position alone: the rest of the extent may be
            // described by metadata that is missing as well.
            Err(error) if error == EAGAIN && waiting == Waiting::Allowed => {
                find(inode, position, 1, image)
            }
            found => found,
        }
    }?;
    extent.len = extent.len.min(END.saturating_sub(extent.start));
    Ok(extent)
}

/// Metadata of an on-demand image, as far as it is present.
struct Unwaiting<'a>(&'a Image);

impl Source for Unwaiting<'_> {
    type Error = kernel::error::Error;

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> ImageResult<()> {
        self.ensure(space, offset, buf.len() as u64)?;
        self.0.read(space, offset, buf)
    }
}

impl Metadata for Unwaiting<'_> {
    /// Fails with EAGAIN and requests what is missing, unless all of it is present.
    ///
    /// A page that root removes from the cache directly after it is still waited
    /// for.
    fn ensure(&self, space: Space, offset: u64, len: u64) -> ImageResult<()> {
        if request_missing(self.0, space, offset, len)? {
            return Err(Error::Source(EAGAIN));
        }
        Ok(())
    }
}

/// Requests the pages of `[offset, offset + len)` of the metadata that are missing,
/// and returns whether there are some. Does not wait.
///
/// # Errors
///
/// EAGAIN if the location of the space is missing itself; those of [`Image::bytes`].
fn request_missing(image: &Image, space: Space, offset: u64, len: u64) -> ImageResult<bool> {
    let contents = match space {
        Space::Primary => {
            let primary = image.blobs.first().ok_or(Error::Source(EIO))?;
            let address = primary.address(offset);
            return Ok(primary.request_missing(address.map_err(|_| Defect::OutsideImage)?, len));
        }
        Space::Metabox => image.metabox.as_ref().ok_or(Defect::NoMetabox)?,
        Space::Packed => image.packed.as_ref().ok_or(Error::Source(EOPNOTSUPP))?,
    };
    // The inodes of both lie in the primary space.
    let end = offset.saturating_add(len).min(contents.size());
    let mut at = offset;
    while at < end {
        let want = end.wrapping_sub(at);
        let extent = map(contents, at, want, Waiting::Never).map_err(Error::Source)?;
        let skip = at.wrapping_sub(extent.start);
        let len = extent.len.wrapping_sub(skip).min(want);
        if let Target::Blob(blob, address) = extent.target {
            if blob.request_missing(address.wrapping_add(skip), len) {
                return Ok(true);
            }
        }
        at = at.wrapping_add(len);
    }
    Ok(false)
}

impl Metadata for Image {
    fn ensure(&self, _: Space, _: u64, _: u64) -> ImageResult<()> {
        Ok(())
    }
}

/// A source of metadata that may refuse to wait.
trait Metadata: Source<Error = kernel::error::Error> {
    /// Checks that the bytes can be read as the source promises.
    fn ensure(&self, space: Space, offset: u64, len: u64) -> ImageResult<()>;
}

fn find<'a>(
    inode: &'a Inode,
    position: u64,
    want: u64,
    source: &impl Metadata,
) -> Result<Extent<'a, Ondine>> {
    let sb = inode.super_block();
    let image = sb.data();
    let extent = ondine_erofs::map(source, &image.superblock, inode.node(), position, want);
    let extent = checked(sb, inode.nid(), extent)?;
    match extent.target {
        ondine_erofs::Target::Hole => Ok(Extent {
            start: extent.start,
            len: extent.len,
            target: Target::Hole,
        }),
        ondine_erofs::Target::Inline { space, offset } => {
            let bytes = source
                .ensure(space, offset, extent.len)
                .and_then(|()| image.bytes(space, offset, extent.len as usize));
            // A block lies in one folio, so that less means the end of the image.
            let whole = bytes.and_then(|bytes| {
                let is_whole = bytes.len() as u64 >= extent.len;
                is_whole.then_some(bytes).ok_or(Defect::OutsideImage.into())
            });
            let bytes = checked(sb, inode.nid(), whole)?;
            Ok(Extent {
                start: extent.start,
                len: extent.len,
                target: Target::Inline(bytes, image.address(space, offset)),
            })
        }
        ondine_erofs::Target::Mapped { device_id, addr } => {
            // Begin at the block of `position`: an earlier part of the extent may
            // be on another device.
            let block_mask = u64::from(image.superblock.block_size()).wrapping_sub(1);
            let skip = position.saturating_sub(extent.start) & !block_mask;
            let len = extent.len.saturating_sub(skip);
            let devices = image.devices();
            let place = resolve(
                &image.superblock,
                &devices,
                device_id,
                addr.wrapping_add(skip),
                len,
            )
            .map_err(ondine_erofs::Error::Defect);
            let place = checked(sb, inode.nid(), place)?;
            let blob = image.blobs.get(usize::from(place.device)).ok_or(ENODEV)?;
            Ok(Extent {
                start: extent.start.wrapping_add(skip),
                len: place.len,
                target: Target::Blob(blob, blob.address(place.offset)?),
            })
        }
    }
}
