// SPDX-License-Identifier: GPL-2.0

//! Mounting: from a source and options to an image that can be read.

use super::{
    data::{checked, errno, Data},
    options::Options,
    prefixes::Prefixes,
    Ondine,
};
use crate::{
    cache::{Blob, Local, Mount, Mounted, OnDemand, Role},
    vfs::{Backing, BackingKind, InodeSlot, NewSuperBlock, Source, SuperBlock, SuperParameters},
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    str::CString,
    sync::{Arc, SetOnce},
};
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
    let (primary, mount) = match source {
        Source::Cache => {
            let (blob, mount) = open_cached(sb, &options)?;
            (blob, Some(mount))
        }
        source => (open_local(sb, source, &options)?, None),
    };
    let image = {
        let page = first_page(&primary).inspect_err(|_| {
            if mount.is_some() {
                sb.context()
                    .error(c"the daemon does not give the image of fsid=");
            }
        })?;
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
            mount,
        },
        GFP_KERNEL,
    )?;
    data.blobs.push(primary, GFP_KERNEL)?;
    data.slots = read_slots(&data)?;
    if let Some(mount) = data.mount.as_deref().cloned() {
        open_cached_devices(sb, &mut data, &mount, &devices)?;
        return Ok((data, parameters));
    }
    for source in devices {
        let extra = Local::new(open_extra(sb, source, kind)?, 0, data.options.direct_io);
        data.blobs.push(Blob::Local(extra), GFP_KERNEL)?;
    }
    Ok((data, parameters))
}

/// The first page of an image, or all of a shorter one.
///
/// A copy: others may write to the image meanwhile, and what is checked must be
/// what is used.
fn first_page(primary: &Blob) -> Result<KVec<u8>> {
    let mut page = KVec::with_capacity(PAGE_SIZE, GFP_KERNEL)?;
    while page.len() < PAGE_SIZE {
        let at = page.len();
        match primary.bytes(at as u64, PAGE_SIZE.wrapping_sub(at)) {
            // The end of the image. If it comes too soon, that is EIO as well.
            Err(error) if error == EIO && at != 0 => break,
            bytes => page.extend_from_slice(&bytes?, GFP_KERNEL)?,
        }
    }
    Ok(page)
}

fn open_local(sb: &New<'_>, source: Source, options: &Options) -> Result<Blob> {
    let backing = open(sb, source)?;
    Ok(Blob::Local(Local::new(
        backing,
        options.offset,
        options.direct_io,
    )))
}

/// The object that holds the image, and the mount that it begins.
fn open_cached(sb: &New<'_>, options: &Options) -> Result<(Blob, Mounted)> {
    let cached = &options.cached;
    if options.offset != 0 {
        sb.context().error(c"fsoffset= has no meaning with fsid=");
        return Err(EINVAL);
    }
    let fsid = cached.fsid.as_ref().ok_or(EINVAL)?.to_bytes();
    let domain = cached.domain_id.as_ref().map(|domain| domain.to_bytes());
    let mount = Mount::new(sb.shared().clone(), domain, fsid, cached.policy)?;
    let mount = Mounted::new(mount)?;
    let blob =
        OnDemand::open(&mount, fsid, Role::Primary, options.direct_io).inspect_err(|&error| {
            if error == ENOBUFS {
                sb.context().error(c"no daemon has the cache bound");
            }
        })?;
    Ok((Blob::OnDemand(blob), mount))
}

/// The objects that hold the extra devices: called after their slots' tags, or
/// what `device=` says instead.
fn open_cached_devices(
    sb: &New<'_>,
    data: &mut Data,
    mount: &Arc<Mount>,
    names: &KVec<Source>,
) -> Result {
    if data.image.block_size() as usize != PAGE_SIZE {
        sb.context()
            .error(c"the block size of an image with fsid= must be the page size");
        return Err(EINVAL);
    }
    for (index, slot) in data.slots.iter().enumerate() {
        let cookie = match names.get(index) {
            Some(Source::Path(name)) => name.to_bytes(),
            Some(_) => return Err(EINVAL),
            None => slot.tag(),
        };
        if cookie.is_empty() {
            sb.context()
                .error(c"a device slot of the image has no tag; name its blob with device=");
            return Err(EINVAL);
        }
        let blob = OnDemand::open(mount, cookie, Role::Device, data.options.direct_io)?;
        data.blobs.push(Blob::OnDemand(blob), GFP_KERNEL)?;
    }
    Ok(())
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
        Source::Cache => Err(EINVAL),
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
