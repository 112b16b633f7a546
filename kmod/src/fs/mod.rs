// SPDX-License-Identifier: GPL-2.0

//! The file system: read-only EROFS, on the blobs of [`crate::cache`].
//!
//! [`ondine_erofs`] parses the image and [`crate::vfs`] wraps the kernel; this
//! module connects the two.

mod error;
mod image;
mod inode;
mod lookup;
mod map;
mod mount;
mod on_demand;
mod options;
mod sysfs;
mod xattr;
mod xattr_prefixes;

pub(crate) use self::image::Image;

use crate::{
    cache::{Blob, Cache},
    vfs::{
        self,
        DirSink,
        Extent,
        FileSystem,
        INode,
        InodeAttributes,
        MountContext,
        MountOption,
        MountSource,
        NewSuperBlock,
        StatFs,
        SuperBlock,
        SuperParameters,
        SysfsAttribute,
        Waiting,
        XattrList,
        XattrNamespace, //
    },
};
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce},
};

/// The file system type.
pub(crate) struct Ondine;

/// An inode of the file system; its on-disk part is [`ondine_erofs::Inode`].
pub(crate) type Inode = INode<Ondine>;

impl FileSystem for Ondine {
    const MAGIC: u64 = vfs::EROFS_MAGIC;

    type Shared = Cache;
    type Options = options::MountOptions;
    type Data = Image;
    type Node = ondine_erofs::Inode;
    type Blob = Blob;

    fn parse(options: &mut Self::Options, option: MountOption) -> Result {
        options.set(option)
    }

    fn is_cached(options: &Self::Options) -> bool {
        options.cache.fsid.is_some()
    }

    fn options(sb: &SuperBlock<Self>) -> Self::Options {
        sb.data().options.for_remount()
    }

    fn reconfigure(
        sb: &SuperBlock<Self>,
        options: Self::Options,
        context: &MountContext<'_>,
    ) -> Result<bool> {
        let image = sb.data();
        image.options.check_remount(&options, context)?;
        if let Some(mount) = &image.mount {
            mount.resume();
        }
        Ok(image.options.remount(&options))
    }

    fn prepare(
        context: &MountContext<'_>,
        cache: &Arc<Cache>,
        options: Self::Options,
    ) -> Result<(KBox<Image>, SuperParameters)> {
        on_demand::prepare(context, cache, options)
    }

    fn fill(
        sb: &NewSuperBlock<'_, Self>,
        options: Self::Options,
        source: MountSource,
    ) -> Result<(KBox<Image>, SuperParameters)> {
        mount::fill(sb, options, source)
    }

    fn activate(sb: &SuperBlock<Self>) -> Result<u64> {
        mount::activate(sb)
    }

    fn deactivate(image: &mut Image) {
        // Pending readahead keeps its folios locked until the daemon answers, and
        // evicting an inode waits for its folios. If the mount has failed, the
        // two inodes below are evicted at once.
        Self::abort(image);
        image.metabox = SetOnce::new();
        image.packed = SetOnce::new();
    }

    fn ino(image: &Image, nid: u64) -> u64 {
        image.superblock.ino(nid)
    }

    fn read_inode(sb: &SuperBlock<Self>, nid: u64) -> Result<(Self::Node, InodeAttributes)> {
        inode::read(sb, nid)
    }

    fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<u64>> {
        lookup::lookup(dir, name)
    }

    fn read_dir(dir: &Inode, sink: &mut DirSink<'_>) -> Result {
        lookup::read_dir(dir, sink)
    }

    fn map(inode: &Inode, position: u64, want: u64, waiting: Waiting) -> Result<Extent<'_, Self>> {
        map::map(inode, position, want, waiting)
    }

    fn blobs(image: &Image) -> &[Blob] {
        &image.blobs
    }

    fn abort(image: &Image) {
        if let Some(mount) = &image.mount {
            mount.abort();
        }
    }

    fn xattr(
        inode: &Inode,
        namespace: XattrNamespace,
        name: &[u8],
        value: Option<&mut [u8]>,
    ) -> Result<usize> {
        xattr::get(inode, namespace, name, value)
    }

    fn list_xattrs(inode: &Inode, list: &mut XattrList<'_>) -> Result {
        xattr::list(inode, list)
    }

    fn statfs(sb: &SuperBlock<Self>) -> StatFs {
        let image = sb.data();
        let stat = image.superblock.statfs(&image.slots);
        StatFs {
            blocks: stat.blocks,
            files: stat.inos,
            name_len: ondine_erofs::dir::NAME_MAX as u32,
        }
    }

    fn show_options(image: &Image, options: &mut vfs::OptionWriter<'_>) {
        image.options.show(options);
    }

    fn label(image: &Image) -> &[u8] {
        image.superblock.label()
    }

    const ATTRIBUTES: &'static [SysfsAttribute<Self>] = &[
        SysfsAttribute::new(c"block_size", sysfs::block_size),
        SysfsAttribute::new(c"bytes_filled", sysfs::bytes_filled),
        SysfsAttribute::new(c"devices", sysfs::devices),
        SysfsAttribute::new(c"feature_compat", sysfs::feature_compat),
        SysfsAttribute::new(c"feature_incompat", sysfs::feature_incompat),
        SysfsAttribute::new(c"hits", sysfs::hits),
        SysfsAttribute::new(c"longest_wait_us", sysfs::longest_wait_us),
        SysfsAttribute::new(c"misses", sysfs::misses),
        SysfsAttribute::new(c"requests", sysfs::requests),
        SysfsAttribute::new(c"requests_merged", sysfs::requests_merged),
        SysfsAttribute::new(c"source", sysfs::source),
        SysfsAttribute::new(c"waiting", sysfs::waiting),
    ];
}
