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
    cache::{Blob, Local, MountGuard, OnDemand, OnDemandMount, Role},
    vfs::{
        check_killed,
        Backing,
        BackingKind,
        MountSource,
        NewSuperBlock,
        SuperBlock,
        SuperParameters, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{Arc, SetOnce},
};
use ondine_erofs::{Defect, DeviceSlot, Source as _, Space};

type New<'a> = NewSuperBlock<'a, Ondine>;

/// Reports why a mount fails to the task that mounts.
fn refuse(sb: &New<'_>, defect: Defect) -> kernel::error::Error {
    if let Ok(message) = CString::try_from_fmt(fmt!("{}", defect.message())) {
        sb.context().error(&message);
    }
    errno(defect)
}

pub(super) fn fill(
    sb: &New<'_>,
    mut options: MountOptions,
    source: MountSource,
) -> Result<(KBox<Image>, SuperParameters)> {
    let devices = core::mem::take(&mut options.devices);
    let (primary, mount) = match source {
        MountSource::Cache => {
            let (blob, mount) = open_cached(sb, &options)?;
            (blob, Some(mount))
        }
        source => (open_local(sb, source, &options)?, None),
    };
    let superblock = {
        let page = first_page(&primary).inspect_err(|_| {
            sb.context().error(if mount.is_some() {
                c"the daemon did not provide the image that fsid= names"
            } else {
                c"the superblock of the image cannot be read"
            });
        })?;
        ondine_erofs::SuperBlock::parse(&page, PAGE_SIZE as u32)
            .map_err(|defect| refuse(sb, defect))?
    };
    if options.offset & u64::from(superblock.block_size()).wrapping_sub(1) != 0 {
        sb.context()
            .error(c"fsoffset= must be a multiple of the block size of the image");
        return Err(EINVAL);
    }
    // Checked before the table is read, so that a wrong count is reported
    // whatever the table contains.
    superblock
        .check_device_count(devices.len())
        .map_err(|defect| refuse(sb, defect))?;
    if mount.is_some() {
        superblock
            .check_on_demand_devices()
            .map_err(|defect| refuse(sb, defect))?;
    }
    let parameters = SuperParameters {
        block_bits: superblock.block_bits() as u8,
        uuid: superblock.uuid().copied().unwrap_or_default(),
        acl: options.acl(),
    };
    let kind = primary.kind();
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
    image.slots = read_slots(sb, &image)?;
    if let Some(mount) = image.mount.as_deref().cloned() {
        open_cached_devices(sb, &mut image, &mount, &devices)?;
        return Ok((image, parameters));
    }
    for source in devices {
        let extra = Local::new(open_extra(sb, source, kind)?, 0, image.options.direct_io);
        image.blobs.push(Blob::Local(extra), GFP_KERNEL)?;
    }
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

fn open_local(sb: &New<'_>, source: MountSource, options: &MountOptions) -> Result<Blob> {
    let backing = open(sb, source)?;
    Ok(Blob::Local(Local::new(
        backing,
        options.offset,
        options.direct_io,
    )))
}

/// Opens the object that holds the image, and creates its mount.
fn open_cached(sb: &New<'_>, options: &MountOptions) -> Result<(Blob, MountGuard)> {
    let cache = &options.cache;
    if options.offset != 0 {
        sb.context().error(c"fsoffset= cannot be used with fsid=");
        return Err(EINVAL);
    }
    let fsid = cache.fsid.as_ref().ok_or(EINVAL)?.to_bytes();
    let domain = cache.domain_id.as_ref().map(|domain| domain.to_bytes());
    let mount = OnDemandMount::new(sb.shared().clone(), domain, fsid, cache.policy);
    let mount = mount.inspect_err(|_| {
        sb.context()
            .error(c"fsid= or domain_id= is too long, or there is no memory");
    })?;
    let mount = MountGuard::new(mount)?;
    let blob = OnDemand::open(&mount, fsid, Role::Primary, options.direct_io)
        .inspect_err(|&error| explain(sb, error))?;
    Ok((Blob::OnDemand(blob), mount))
}

/// Reports why there is no object for a blob. The cache has reported why there is
/// no file.
fn explain(sb: &New<'_>, error: Error) {
    let message = if error == ENOBUFS && sb.shared().dir().is_err() {
        c"no daemon has bound the cache; start one before mounting with fsid="
    } else if error == EBUSY {
        c"another mount has the volume of fsid= or domain_id=, and does not share it"
    } else if error == EEXIST {
        c"another mount of the domain has the image that fsid= names"
    } else if error == EINVAL {
        c"two device slots of the image name one blob, which takes domain_id="
    } else {
        return;
    };
    sb.context().error(message);
}

/// Opens the objects that hold the extra devices. Their cookie keys are the tags
/// of the device slots, unless `device=` overrides them.
fn open_cached_devices(
    sb: &New<'_>,
    image: &mut Image,
    mount: &Arc<OnDemandMount>,
    names: &KVec<MountSource>,
) -> Result {
    if image.superblock.block_size() as usize != PAGE_SIZE {
        sb.context()
            .error(c"the block size of an image with fsid= must be the page size");
        return Err(EINVAL);
    }
    for (index, slot) in image.slots.iter().enumerate() {
        let cookie = match names.get(index) {
            Some(MountSource::Path(name)) => name.to_bytes(),
            Some(_) => return Err(EINVAL),
            None => slot.tag(),
        };
        if cookie.is_empty() {
            sb.context()
                .error(c"a device slot of the image has no tag; name its blob with device=");
            return Err(EINVAL);
        }
        check_killed()?;
        let blob = OnDemand::open(mount, cookie, Role::Device, image.options.direct_io)
            .inspect_err(|&error| explain(sb, error))?;
        image.blobs.push(Blob::OnDemand(blob), GFP_KERNEL)?;
    }
    Ok(())
}

fn read_slots(sb: &New<'_>, image: &Image) -> Result<KVVec<DeviceSlot>> {
    let count = image.superblock.extra_devices();
    let mut slots = KVVec::with_capacity(usize::from(count), GFP_KERNEL)?;
    for index in 0..count {
        let offset = image.superblock.device_slot_offset(index).ok_or(EINVAL)?;
        let mut bytes = [0u8; 128];
        image
            .read(Space::Primary, offset, &mut bytes)
            .map_err(|error| {
                sb.context()
                    .error(c"the device table of the image cannot be read");
                match error {
                    ondine_erofs::Error::Source(error) => error,
                    ondine_erofs::Error::Defect(defect) => refuse(sb, defect),
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
        MountSource::Cache => Err(EINVAL),
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
