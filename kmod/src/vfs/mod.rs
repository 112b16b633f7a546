// SPDX-License-Identifier: GPL-2.0

//! Safe types over the VFS, the page cache, iomap and files.
//!
//! The kernel crate of Linux 7.3 has no super block, inode, dentry, folio or
//! iomap. This module is the missing part, shaped so that a file system is an
//! implementation of one trait, [`FileSystem`], and contains no unsafe code.

mod acl;
mod ahead;
mod aops;
mod backing;
mod batch;
mod context;
mod debugfs;
mod deferred;
mod dir;
mod export;
mod file;
mod folio;
mod inode;
mod inode_slot;
mod iomap;
mod registration;
mod stats;
mod store;
mod super_block;
mod sysfs;
mod ticker;
mod trace;
mod wait;
mod whole;
mod xattr;

pub(crate) use self::{
    backing::{Backing, BackingKind, Present},
    batch::{Batch, ReadMode},
    context::{MountOption, Source},
    debugfs::{DebugDirectory, Report},
    deferred::{Background, Deferred},
    dir::{DirSink, Flow},
    folio::MetaSlice,
    inode::{Attributes, INode, Kind},
    inode_slot::InodeSlot,
    iomap::{Extent, Target},
    registration::Registration,
    stats::{Options, StatFs},
    store::{CacheFile, Found, Store},
    super_block::{NewSuperBlock, SuperBlock, SuperParameters},
    sysfs::{Attribute, PageWriter},
    ticker::{start as start_ticker, Tick, Ticker},
    trace::{trace, Event},
    wait::{metadata_error, WaitQueue},
    xattr::{XattrList, XattrNamespace}, //
};

use kernel::{prelude::*, sync::aref::ARef};

/// A read-only file system.
///
/// All methods may sleep. Errors are what user space gets.
pub(crate) trait FileSystem: Sized + 'static {
    /// Magic number that `statfs(2)` reports.
    const MAGIC: u64;

    /// What all super blocks of the type use.
    type Shared: Send + Sync;
    /// Mount options while they are parsed.
    type Options: Send + Sync + Default;
    /// What a mounted super block owns; dropped after its last inode is gone.
    type Data: Send + Sync;
    /// What each inode carries; plain data, nothing to drop.
    type Node: Copy + Send + Sync;
    /// Where file data lives; owned by [`Self::Data`].
    type Blob: Send + Sync;

    /// Takes one mount option.
    fn parse(options: &mut Self::Options, option: MountOption) -> Result;

    /// Whether the image is in a cache, and no source is to be opened.
    fn is_cached(options: &Self::Options) -> bool;

    /// The options that a remount starts from.
    fn options(sb: &SuperBlock<Self>) -> Self::Options;

    /// Remounts with other options; tells whether ACLs are honoured from now on.
    fn reconfigure(sb: &SuperBlock<Self>, options: Self::Options) -> Result<bool>;

    /// Builds the super block's data from its source.
    fn fill(
        sb: &NewSuperBlock<'_, Self>,
        options: Self::Options,
        source: Source,
    ) -> Result<(KBox<Self::Data>, SuperParameters)>;

    /// Loads what needs inodes, and gives the root's nid.
    fn activate(sb: &SuperBlock<Self>) -> Result<u64>;

    /// Gives up every inode that [`Self::Data`] holds, before the inodes go.
    fn deactivate(data: &Self::Data);

    /// The number that user space sees for a nid.
    fn ino(data: &Self::Data, nid: u64) -> u64;

    /// Reads an inode.
    fn read_inode(sb: &SuperBlock<Self>, nid: u64) -> Result<(Self::Node, Attributes)>;

    /// Finds a name in a directory; `None` if it is not there.
    fn lookup(dir: &INode<Self>, name: &[u8]) -> Result<Option<u64>>;

    /// Emits the entries from `sink.position()` on.
    fn read_dir(dir: &INode<Self>, sink: &mut DirSink<'_>) -> Result;

    /// Whether [`Self::map`] never has to wait for metadata that is not there.
    fn has_metadata(data: &Self::Data) -> bool;

    /// Maps a file position: the extent that holds `position`, at best `want`
    /// bytes long.
    fn map(inode: &INode<Self>, position: u64, want: u64) -> Result<Extent<'_, Self>>;

    /// Reads a batch of page cache ranges from a blob; may return before the
    /// bytes are there.
    fn submit(inode: &INode<Self>, blob: &Self::Blob, batch: Batch);

    /// What holds `[address, address + len)` of a blob, by a read that is about to
    /// use it.
    fn present(blob: &Self::Blob, address: u64, len: u64) -> Present<'_>;

    /// Whether nothing of any blob can be missing.
    fn is_whole(data: &Self::Data) -> bool;

    /// Whether some of `[address, address + len)` of a blob has to be waited for.
    fn is_missing(blob: &Self::Blob, address: u64, len: u64) -> bool;

    /// Has `[address, address + len)` of a blob brought in, and does not wait.
    fn ask(blob: &Self::Blob, address: u64, len: u64);

    /// Waits until `[address, address + len)` of a blob is in its file.
    fn fetch(blob: &Self::Blob, address: u64, len: u64) -> Result<Option<&Backing>>;

    /// Ends all waiting, so that the file system can be unmounted.
    fn abort(data: &Self::Data);

    /// The block device behind a blob, if it is one.
    fn device(blob: &Self::Blob) -> Option<&Backing>;

    /// Reads the value of an attribute; its length if `value` is `None`.
    fn xattr(
        inode: &INode<Self>,
        namespace: XattrNamespace,
        name: &[u8],
        value: Option<&mut [u8]>,
    ) -> Result<usize>;

    /// Lists attribute names.
    fn list_xattrs(inode: &INode<Self>, list: &mut XattrList<'_>) -> Result;

    /// Fills `statfs(2)`.
    fn statfs(sb: &SuperBlock<Self>) -> StatFs;

    /// Prints the mount options that differ from the defaults.
    fn show_options(data: &Self::Data, options: &mut Options<'_>);

    /// The volume label, for `FS_IOC_GETFSLABEL`.
    fn label(data: &Self::Data) -> &[u8];

    /// The files of `/sys/fs/ondine/<id>/`.
    const ATTRIBUTES: &'static [Attribute<Self>];
}

/// A counted reference to an inode.
pub(crate) type InodeRef<F> = ARef<INode<F>>;
