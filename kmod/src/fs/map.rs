// SPDX-License-Identifier: GPL-2.0

//! Mapping file positions to blobs.

use super::{error::checked, Inode, Ondine};
use crate::vfs::{Extent, Target};
use kernel::prelude::*;
use ondine_erofs::{resolve, Defect};

/// Upper limit of the end of extents: one more than the last signed file
/// position. A file of 2^63 - 1 bytes ends one byte before, in the middle of a
/// block that is mapped as a whole.
const END: u64 = 1 << 63;

pub(super) fn map(inode: &Inode, position: u64, want: u64) -> Result<Extent<'_, Ondine>> {
    let mut extent = find(inode, position, want)?;
    extent.len = extent.len.min(END.saturating_sub(extent.start));
    Ok(extent)
}

fn find(inode: &Inode, position: u64, want: u64) -> Result<Extent<'_, Ondine>> {
    let sb = inode.super_block();
    let image = sb.data();
    let extent = ondine_erofs::map(image, &image.superblock, inode.node(), position, want);
    let extent = checked(sb, inode.nid(), extent)?;
    match extent.target {
        ondine_erofs::Target::Hole => Ok(Extent {
            start: extent.start,
            len: extent.len,
            target: Target::Hole,
        }),
        ondine_erofs::Target::Inline { space, offset } => {
            let bytes = image.bytes(space, offset, extent.len as usize);
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
