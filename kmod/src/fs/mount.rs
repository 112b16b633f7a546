// SPDX-License-Identifier: GPL-2.0

//! Mounting: from a source and options to an image that can be read.

use super::{
    data::{checked, errno, Data},
    options::Options,
    prefixes::Prefixes,
    Ondine,
};
use crate::{
    cache::Blob,
    vfs::{Backing, BackingKind, InodeSlot, NewSuperBlock, Source, SuperBlock, SuperParameters},
};
use kernel::{page::PAGE_SIZE, prelude::*, str::CString, sync::SetOnce};
use ondine_erofs::{Defect, DeviceSlot, Source as _, Space};

type New<'a> = NewSuperBlock<'a, Ondine>;

/// Says why a mount fails, to the one who mounts.
fn refuse(sb: &New<'_>, defect: Defect) -> kernel::error::Error {
    if let Ok(message) = CString::try_from_fmt(fmt!("{}", defect.message())) {
        sb.context().error(&message);
    }
    errno(defect)
}

pub(super) fn fill(
    sb: &New<'_>,
    mut options: Options,
    source: Source,
) -> Result<(KBox<Data>, SuperParameters)> {
    let devices = core::mem::take(&mut options.devices);
    let primary = Blob::new(open(sb, source)?, options.offset, options.direct_io);
    let image = {
        let page = primary.bytes(0, PAGE_SIZE)?;
        ondine_erofs::SuperBlock::parse(&page, PAGE_SIZE as u32)
            .map_err(|defect| refuse(sb, defect))?
    };
    if options.offset & u64::from(image.block_size()).wrapping_sub(1) != 0 {
        sb.context()
            .error(c"fsoffset= is not a multiple of the block size");
        return Err(EINVAL);
    }
    // Before the table is read: a wrong count is told whatever the table is.
    image
        .check_device_count(devices.len())
        .map_err(|defect| refuse(sb, defect))?;
    let parameters = SuperParameters {
        block_bits: image.block_bits() as u8,
        uuid: image.uuid().copied().unwrap_or_default(),
        acl: options.acl(),
    };
    let kind = primary.kind();
    let mut data = KBox::new(
        Data {
            image,
            slots: KVVec::new(),
            blobs: KVec::new(),
            prefixes: SetOnce::new(),
            metabox: InodeSlot::new(),
            packed: InodeSlot::new(),
            options,
        },
        GFP_KERNEL,
    )?;
    data.blobs.push(primary, GFP_KERNEL)?;
    data.slots = read_slots(&data)?;
    for source in devices {
        let blob = Blob::new(open_extra(sb, source, kind)?, 0, data.options.direct_io);
        data.blobs.push(blob, GFP_KERNEL)?;
    }
    Ok((data, parameters))
}

fn read_slots(data: &Data) -> Result<KVVec<DeviceSlot>> {
    let count = data.image.extra_devices();
    let mut slots = KVVec::with_capacity(usize::from(count), GFP_KERNEL)?;
    for index in 0..count {
        let offset = data.image.device_slot_offset(index).ok_or(EINVAL)?;
        let mut bytes = [0u8; 128];
        data.read(Space::Primary, offset, &mut bytes)
            .map_err(|error| match error {
                ondine_erofs::Error::Source(error) => error,
                ondine_erofs::Error::Defect(defect) => errno(defect),
            })?;
        slots.push(DeviceSlot::parse(&bytes, &data.image), GFP_KERNEL)?;
    }
    Ok(slots)
}

fn open(sb: &New<'_>, source: Source) -> Result<Backing> {
    match source {
        Source::Path(path) => Backing::open(&path),
        Source::Open(backing) => Ok(backing),
        Source::SuperBlockDevice => sb.device(),
    }
}

/// An extra device, of the same kind as the primary.
fn open_extra(sb: &New<'_>, source: Source, kind: BackingKind) -> Result<Backing> {
    let backing = match (source, kind) {
        (Source::Path(path), BackingKind::Device) => {
            sb.open_device(&path)
                .map_err(|error| if error == ENOTBLK { EINVAL } else { error })?
        }
        (source, _) => open(sb, source)?,
    };
    if backing.kind() != kind {
        sb.context()
            .error(c"device= must be a block device if the source is one, else a regular file");
        return Err(EINVAL);
    }
    Ok(backing)
}

/// Loads the inodes that hold metadata, and what needs them.
pub(super) fn activate(sb: &SuperBlock<Ondine>) -> Result<u64> {
    let data = sb.data();
    // In this order: a packed inode that lives in the metabox cannot load, as
    // in the C driver.
    if let Some(nid) = data.image.packed_nid() {
        match sb.inode(nid) {
            Ok(inode) => data.packed.set(inode),
            // Compressed, it holds the tails of compressed files, which cannot
            // be read either; all other files can.
            Err(error) if error == EOPNOTSUPP => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(nid) = data.image.metabox_nid() {
        data.metabox.set(sb.inode(nid)?);
    }
    // What is wrong with the root is told before what is wrong with prefixes,
    // and with a root that is no directory there is no mount to need them.
    let root_nid = data.image.root_nid();
    if sb.inode(root_nid)?.is_dir() {
        let prefixes = checked(sb, root_nid, Prefixes::load(data))?;
        data.prefixes.populate(prefixes);
    }
    Ok(root_nid)
}
