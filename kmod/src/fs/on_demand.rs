// SPDX-License-Identifier: GPL-2.0

//! Mounting an image that the daemon fetches.

use super::{
    error::ImageResult, image::Image, mount::image, options::MountOptions,
    xattr_prefixes::XattrPrefixes,
};
use crate::{
    cache::{Blob, Cache, MountGuard, OnDemand, OnDemandMount, Role},
    vfs::{check_killed, MountContext, MountSource, SuperParameters},
};
use kernel::{page::PAGE_SIZE, prelude::*, sync::Arc};
use ondine_erofs::{resolve, Defect, Error, Inode, Space, Target};

/// Bytes of the longest inode.
const INODE_MAX: u64 = 64;

/// Opens an image in the cache, and waits for the metadata that the mount needs.
///
/// There is no super block yet. One that is being made is in the list of all super
/// blocks, where sync(2) and others wait unkillably for it: they would wait for the
/// daemon. [`activate`](super::mount::activate) finds its metadata present.
pub(super) fn prepare(
    context: &MountContext<'_>,
    cache: &Arc<Cache>,
    mut options: MountOptions,
) -> Result<(KBox<Image>, SuperParameters)> {
    let devices = core::mem::take(&mut options.devices);
    let (primary, mount) = open_primary(context, cache, &options)?;
    let shared = Arc::clone(&mount);
    let (mut image, parameters) = image(context, primary, Some(mount), options, devices.len())?;
    open_devices(context, cache, &mut image, &shared, &devices)?;
    bring_in(&image)?;
    Ok((image, parameters))
}

/// Opens the object that holds the image, and creates its mount.
fn open_primary(
    context: &MountContext<'_>,
    cache: &Arc<Cache>,
    options: &MountOptions,
) -> Result<(Blob, MountGuard)> {
    let keys = &options.cache;
    if options.offset != 0 {
        context.error(c"fsoffset= cannot be used with fsid=");
        return Err(EINVAL);
    }
    let fsid = keys.fsid.as_ref().ok_or(EINVAL)?.to_bytes();
    let domain = keys.domain_id.as_ref().map(|domain| domain.to_bytes());
    let mount = OnDemandMount::new(cache.clone(), domain, fsid, keys.policy);
    let mount = mount.inspect_err(|_| {
        context.error(c"fsid= or domain_id= is too long, or there is no memory");
    })?;
    let mount = MountGuard::new(mount)?;
    let blob = OnDemand::open(&mount, fsid, Role::Primary, options.direct_io)
        .inspect_err(|&error| explain(context, cache, error))?;
    Ok((Blob::OnDemand(blob), mount))
}

/// Reports why there is no object for a blob. The cache has reported why there is
/// no file.
fn explain(context: &MountContext<'_>, cache: &Cache, error: kernel::error::Error) {
    let message = if error == ENOBUFS && cache.dir().is_err() {
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
    context.error(message);
}

/// Opens the objects that hold the extra devices. Their cookie keys are the tags
/// of the device slots, unless `device=` overrides them.
fn open_devices(
    context: &MountContext<'_>,
    cache: &Cache,
    image: &mut Image,
    mount: &Arc<OnDemandMount>,
    names: &KVec<MountSource>,
) -> Result {
    if image.superblock.block_size() as usize != PAGE_SIZE {
        context.error(c"the block size of an image with fsid= must be the page size");
        return Err(EINVAL);
    }
    for (index, slot) in image.slots.iter().enumerate() {
        let cookie = match names.get(index) {
            Some(MountSource::Path(name)) => name.to_bytes(),
            Some(_) => return Err(EINVAL),
            None => slot.tag(),
        };
        if cookie.is_empty() {
            context.error(c"a device slot of the image has no tag; name its blob with device=");
            return Err(EINVAL);
        }
        check_killed()?;
        let blob = OnDemand::open(mount, cookie, Role::Device, image.options.direct_io)
            .inspect_err(|&error| explain(context, cache, error))?;
        image.blobs.push(Blob::OnDemand(blob), GFP_KERNEL)?;
    }
    Ok(())
}

/// Waits for the metadata that [`activate`](super::mount::activate) is going to
/// read, as far as it lies in blobs or in the metabox.
///
/// # Errors
///
/// Those of the waits. Defects are left to `activate`, which reports them.
fn bring_in(image: &Image) -> Result {
    let superblock = &image.superblock;
    waited(touch(image, superblock.packed_nid()).map(drop))?;
    let metabox = touch(image, superblock.metabox_nid());
    let root = Some(superblock.root_nid());
    waited(
        match (&metabox, superblock.nid_location(superblock.root_nid())) {
            (Ok(Some(metabox)), Ok((Space::Metabox, offset))) => {
                touch_metabox(image, metabox, offset)
            }
            _ => touch(image, root).map(drop),
        },
    )?;
    waited(metabox.map(drop))?;
    waited(XattrPrefixes::load(image, superblock).map(drop))
}

/// Reads an inode outside of the metabox.
fn touch(image: &Image, nid: Option<u64>) -> ImageResult<Option<Inode>> {
    nid.map(|nid| Inode::read(image, &image.superblock, nid))
        .transpose()
}

/// Reads the bytes of the metabox' blobs that hold an inode at byte `offset`.
fn touch_metabox(image: &Image, metabox: &Inode, offset: u64) -> ImageResult<()> {
    // An inode of the longer kind may cross a page.
    for position in [offset, offset.saturating_add(INODE_MAX.wrapping_sub(1))] {
        let extent = ondine_erofs::map(image, &image.superblock, metabox, position, 1)?;
        let Target::Mapped { device_id, addr } = extent.target else {
            continue;
        };
        let address = addr.wrapping_add(position.wrapping_sub(extent.start));
        let place = resolve(&image.superblock, &image.devices(), device_id, address, 1)?;
        let blob = image.blobs.get(usize::from(place.device));
        let blob = blob.ok_or(Defect::NoSuchDevice)?;
        blob.bytes(place.offset, 1).map_err(Error::Source)?;
    }
    Ok(())
}

/// The error of a wait; none for a defect of the image, or for a space that is not
/// loaded yet.
fn waited(result: ImageResult<()>) -> Result {
    match result {
        Err(Error::Source(error)) if error != EOPNOTSUPP => Err(error),
        _ => Ok(()),
    }
}
