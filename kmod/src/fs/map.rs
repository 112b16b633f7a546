// SPDX-License-Identifier: GPL-2.0

//! From a position in a file to a place on a blob.

use super::{data::checked, Inode, Ondine};
use crate::vfs::{Extent, Target};
use kernel::prelude::*;
use ondine_erofs::resolve;

/// Where extents end at the latest: behind the last byte that a signed position
/// can name. A file of 2^63 - 1 bytes ends one before, in the middle of a block
/// that has to be mapped whole.
const END: u64 = 1 << 63;

pub(super) fn map(inode: &Inode, position: u64, want: u64) -> Result<Extent<'_, Ondine>> {
    let mut extent = find(inode, position, want)?;
    extent.len = extent.len.min(END.saturating_sub(extent.start));
    Ok(extent)
}

fn find(inode: &Inode, position: u64, want: u64) -> Result<Extent<'_, Ondine>> {
    let sb = inode.super_block();
    let data = sb.data();
    let extent = ondine_erofs::map(data, &data.image, inode.node(), position, want);
    let extent = checked(sb, inode.nid(), extent)?;
    match extent.target {
        ondine_erofs::Target::Hole => Ok(Extent {
            start: extent.start,
            len: extent.len,
            target: Target::Hole,
        }),
        ondine_erofs::Target::Inline { space, offset } => {
            let bytes = data.bytes(space, offset, extent.len as usize)?;
            // One block does not cross a folio: short means that the image
            // ends too soon.
            if (bytes.len() as u64) < extent.len {
                return Err(EIO);
            }
            Ok(Extent {
                start: extent.start,
                len: extent.len,
                target: Target::Inline(bytes, data.address(space, offset)),
            })
        }
        ondine_erofs::Target::Mapped { device_id, addr } => {
            // From the block of `position` on: an earlier part may be on
            // another device.
            let block_mask = u64::from(data.image.block_size()).wrapping_sub(1);
            let skip = position.saturating_sub(extent.start) & !block_mask;
            let len = extent.len.saturating_sub(skip);
            let devices = data.devices();
            let place = resolve(
                &data.image,
                &devices,
                device_id,
                addr.wrapping_add(skip),
                len,
            )
            .map_err(ondine_erofs::Error::Defect);
            let place = checked(sb, inode.nid(), place)?;
            let blob = data.blobs.get(usize::from(place.device)).ok_or(ENODEV)?;
            Ok(Extent {
                start: extent.start.wrapping_add(skip),
                len: place.len,
                target: Target::Blob(blob, blob.address(place.offset)?),
            })
        }
    }
}
