// SPDX-License-Identifier: GPL-2.0

//! The file system: EROFS, read-only, of any source that [`crate::cache`] has.
//!
//! What bytes mean is [`ondine_erofs`]'s business, how the kernel works is
//! [`crate::vfs`]'s. This module puts the two together.

mod attributes;
mod data;
mod inode;
mod lookup;
mod map;
mod mount;
mod options;
mod prefixes;
mod xattr;

pub(crate) use self::data::Data;

use crate::{
    cache::{Blob, Cache},
    vfs::{
        self,
        Attribute,
        Attributes,
        Backing,
        Batch,
        DirSink,
        Extent,
        FileSystem,
        INode,
        MountOption,
        NewSuperBlock,
        Present,
        Source,
        StatFs,
        SuperBlock,
        SuperParameters,
        XattrList,
        XattrNamespace, //
    },
};
use kernel::{prelude::*, sync::Arc};

/// The file system type.
pub(crate) struct Ondine;

/// What the wrappers of [`vfs`] are called here.
pub(crate) type Inode = INode<Ondine>;

impl FileSystem for Ondine {
    const MAGIC: u64 = 0xE0F5_E1E2;

    type Shared = Arc<Cache>;
    type Options = options::Options;
    type Data = Data;
    type Node = ondine_erofs::Inode;
    type Blob = Blob;

    fn parse(options: &mut Self::Options, option: MountOption) -> Result {
        options.set(option)
    }

    fn is_cached(options: &Self::Options) -> bool {
        options.cached.fsid.is_some()
    }

    fn options(sb: &SuperBlock<Self>) -> Self::Options {
        sb.data().options.again()
    }

    fn reconfigure(sb: &SuperBlock<Self>, options: Self::Options) -> Result<bool> {
        if let Some(mount) = &sb.data().mount {
            mount.resume();
        }
        sb.data().options.remount(&options)
    }

    fn fill(
        sb: &NewSuperBlock<'_, Self>,
        options: Self::Options,
        source: Source,
    ) -> Result<(KBox<Data>, SuperParameters)> {
        mount::fill(sb, options, source)
    }

    fn activate(sb: &SuperBlock<Self>) -> Result<u64> {
        mount::activate(sb)
    }

    fn deactivate(data: &Data) {
        // Reads that nobody waits for any more may be parked still, and keep
        // folios locked for as long as the daemon likes. Giving up an inode waits
        // for its folios: for these two at once, if the mount has failed.
        Self::abort(data);
        data.metabox.clear();
        data.packed.clear();
    }

    fn ino(data: &Data, nid: u64) -> u64 {
        data.image.ino(nid)
    }

    fn read_inode(sb: &SuperBlock<Self>, nid: u64) -> Result<(Self::Node, Attributes)> {
        inode::read(sb, nid)
    }

    fn lookup(dir: &Inode, name: &[u8]) -> Result<Option<u64>> {
        lookup::lookup(dir, name)
    }

    fn read_dir(dir: &Inode, sink: &mut DirSink<'_>) -> Result {
        lookup::read_dir(dir, sink)
    }

    fn map(inode: &Inode, position: u64, want: u64) -> Result<Extent<'_, Self>> {
        map::map(inode, position, want)
    }

    fn has_metadata(data: &Data) -> bool {
        data.blobs.first().is_some_and(Blob::is_whole)
    }

    fn submit(_inode: &Inode, blob: &Blob, batch: Batch) {
        blob.read(batch);
    }

    #[inline]
    fn present(blob: &Blob, address: u64, len: u64) -> Present<'_> {
        blob.present(address, len)
    }

    fn is_whole(data: &Data) -> bool {
        data.blobs.iter().all(Blob::is_whole)
    }

    fn is_missing(blob: &Blob, address: u64, len: u64) -> bool {
        blob.is_missing(address, len)
    }

    fn ask(blob: &Blob, address: u64, len: u64) {
        blob.ask(address, len);
    }

    fn fetch(blob: &Blob, address: u64, len: u64) -> Result<Option<&Backing>> {
        blob.fetch(address, len)
    }

    fn abort(data: &Data) {
        if let Some(mount) = &data.mount {
            mount.abort();
        }
    }

    fn device(blob: &Blob) -> Option<&Backing> {
        blob.device()
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
        let data = sb.data();
        let stat = data.image.statfs(&data.slots);
        StatFs {
            blocks: stat.blocks,
            files: stat.inos,
            name_len: ondine_erofs::dir::NAME_MAX as u32,
        }
    }

    fn show_options(data: &Data, options: &mut vfs::Options<'_>) {
        data.options.show(options);
    }

    fn label(data: &Data) -> &[u8] {
        data.image.label()
    }

    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::new(c"block_size", attributes::block_size),
        Attribute::new(c"bytes_filled", attributes::bytes_filled),
        Attribute::new(c"devices", attributes::devices),
        Attribute::new(c"feature_compat", attributes::feature_compat),
        Attribute::new(c"feature_incompat", attributes::feature_incompat),
        Attribute::new(c"hits", attributes::hits),
        Attribute::new(c"longest_wait_us", attributes::longest_wait_us),
        Attribute::new(c"misses", attributes::misses),
        Attribute::new(c"requests", attributes::requests),
        Attribute::new(c"requests_merged", attributes::requests_merged),
        Attribute::new(c"source", attributes::source),
        Attribute::new(c"waiting", attributes::waiting),
    ];
}
