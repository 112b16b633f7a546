// SPDX-License-Identifier: GPL-2.0

//! Mounting: opening and checking an image.

use super::{
    error::{checked, errno},
    image::Image,
    options::MountOptions,
    xattr_prefixes::XattrPrefixes,
    Ondine,
};
use crate::{
    cache::{Blob, Local, MountGuard},
    vfs::{
        Backing,
        BackingKind,
        MountContext,
        MountSource,
        NewSuperBlock,
        SuperBlock,
        SuperParameters, //
    },
};
use kernel::{page::PAGE_SIZE, prelude::*, str::CString, sync::SetOnce};
use ondine_erofs::{Defect, DeviceSlot, Source as _, Space};

type New<'a> = NewSuperBlock<'a, Ondine>;

/// Reports why a mount fails to the task that mounts.
fn refuse(context: &MountContext<'_>, defect: Defect) -> kernel::error::Error {
    if let Ok(message) = CString::try_from_fmt(fmt!("{}", defect.message())) {
        context.error(&message);
    }
    errno(defect)
}

/// Opens an image in files or block devices.
pub(super) fn fill(
    sb: &New<'_>,
    mut options: MountOptions,
    source: MountSource,
) -> Result<(KBox<Image>, SuperParameters)> {
    let devices = core::mem::take(&mut options.devices);
    let backing = open(sb, source)?;
    let kind = backing.kind();
    let primary = Local::new(backing, options.offset, options.direct_io);
    let primary = Blob::Local(primary);
    let (mut image, parameters) = image(&sb.context(), primary, None, options, devices.len())?;
    for source in devices {
        let extra = Local::new(open_extra(sb, source, kind)?, 0, image.options.direct_io);
        image.blobs.push(Blob::Local(extra), GFP_KERNEL)?;
    }
    Ok((image, parameters))
}

/// Reads and checks superblock and device table of the image on `primary`, for which
/// `devices` extra devices were given.
pub(super) fn image(
    context: &MountContext<'_>,
    primary: Blob,
    mount: Option<MountGuard>,
    options: MountOptions,
    devices: usize,
) -> Result<(KBox<Image>, SuperParameters)> {
    let superblock = {
        let page = first_page(&primary).inspect_err(|_| {
            context.error(if mount.is_some() {
                c"the daemon did not provide the image that fsid= names"
            } else {
                c"the superblock of the image cannot be read"
            });
        })?;
        ondine_erofs::SuperBlock::parse(&page, PAGE_SIZE as u32)
            .map_err(|defect| refuse(context, defect))?
    };
    if options.offset & u64::from(superblock.block_size()).wrapping_sub(1) != 0 {
        context.error(c"fsoffset= must be a multiple of the block size of the image");
        return Err(EINVAL);
    }
    // Checked before the table is read, so that a wrong count is reported
    // whatever the table contains.
    superblock
        .check_device_count(devices)
        .map_err(|defect| refuse(context, defect))?;
    if mount.is_some() {
        superblock
            .check_on_demand_devices()
            .map_err(|defect| refuse(context, defect))?;
    }
    let parameters = SuperParameters {
        block_bits: superblock.block_bits() as u8,
        uuid: superblock.uuid().copied().unwrap_or_default(),
        acl: options.acl(),
    };
    let mut image = KBox::new(
        Image {
            superblock,
            slots: KVVec::new(),
            blobs: KVec::new(),
            prefixes: SetOnce::new(),
            metabox: SetOnce::new(),
            packed: SetOnce::new(),
            options,
            mount,
        },
        GFP_KERNEL,
    )?;
    image.blobs.push(primary, GFP_KERNEL)?;
    image.slots = read_slots(context, &image)?;
    Ok((image, parameters))
}

/// The first page of an image, or the whole of a shorter one, which the parser
/// refuses if it is too short.
///
/// A copy, so that the bytes that are used are those that were checked even if
/// the image is modified.
fn first_page(primary: &Blob) -> Result<KVec<u8>> {
    let mut page = KVec::with_capacity(PAGE_SIZE, GFP_KERNEL)?;
    while page.len() < PAGE_SIZE {
        let at = page.len();
        match primary.bytes(at as u64, PAGE_SIZE.wrapping_sub(at)) {
            Err(error) if error == EIO && is_end(primary, at as u64) => break,
            bytes => page.extend_from_slice(&bytes?, GFP_KERNEL)?,
        }
    }
    Ok(page)
}

/// Returns whether a blob ends at or before byte `offset`, or could not have it.
fn is_end(blob: &Blob, offset: u64) -> bool {
    blob.address(offset)
        .map_or(true, |address| blob.ends_before(address))
}

fn read_slots(context: &MountContext<'_>, image: &Image) -> Result<KVVec<DeviceSlot>> {
    let count = image.superblock.extra_devices();
    let mut slots = KVVec::with_capacity(usize::from(count), GFP_KERNEL)?;
    for index in 0..count {
        let offset = image.superblock.device_slot_offset(index).ok_or(EINVAL)?;
        let mut bytes = [0u8; 128];
        image
            .read(Space::Primary, offset, &mut bytes)
            .map_err(|error| {
                context.error(c"the device table of the image cannot be read");
                match error {
                    ondine_erofs::Error::Source(error) => error,
                    ondine_erofs::Error::Defect(defect) => refuse(context, defect),
                }
            })?;
        slots.push(image.superblock.device_slot(&bytes), GFP_KERNEL)?;
    }
    Ok(slots)
}

fn open(sb: &New<'_>, source: MountSource) -> Result<Backing> {
    match source {
        MountSource::Path(path) => {
            Backing::open(&path).map_err(|unfit| sb.context().refuse(&path, &unfit))
        }
        MountSource::Open(backing) => Ok(backing),
        MountSource::SuperBlockDevice => sb.device(),
    }
}

/// Opens an extra device, which must be of the same kind as the primary one.
fn open_extra(sb: &New<'_>, source: MountSource, kind: BackingKind) -> Result<Backing> {
    let backing = match (source, kind) {
        (MountSource::Path(path), BackingKind::Device) => match sb.open_device(&path) {
            Err(unfit) if unfit.error() == ENOTBLK => None,
            opened => Some(opened.map_err(|unfit| sb.context().refuse(&path, &unfit))?),
        },
        (source, _) => Some(open(sb, source)?),
    };
    backing
        .filter(|backing| backing.kind() == kind)
        .ok_or_else(|| {
            sb.context()
                .error(c"device= must be a block device if the source is one, else a regular file");
            EINVAL
        })
}

/// Loads the inodes that hold metadata, and the metadata in them.
pub(super) fn activate(sb: &SuperBlock<Ondine>) -> Result<u64> {
    let image = sb.data();
    // The packed inode first: one that lies in the metabox does not load, as in
    // the C driver.
    if let Some(nid) = image.superblock.packed_nid() {
        match sb.inode(nid) {
            Ok(inode) => {
                image.packed.populate(inode);
            }
            // A compressed packed inode holds the tails of compressed files,
            // which cannot be read either. All other files can.
            Err(error) if error == EOPNOTSUPP => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(nid) = image.superblock.metabox_nid() {
        image.metabox.populate(sb.inode(nid)?);
    }
    // A defect of the root is reported before one of the prefixes, which are not
    // needed if the root is not a directory: then the mount fails.
    let root_nid = image.superblock.root_nid();
    if sb.inode(root_nid)?.is_dir() {
        let prefixes = checked(sb, root_nid, XattrPrefixes::load(image, &image.superblock))?;
        image.prefixes.populate(prefixes);
    }
    Ok(root_nid)
}
