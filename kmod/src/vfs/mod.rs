// SPDX-License-Identifier: GPL-2.0

//! Safe types over the VFS, the page cache, iomap and files.
//!
//! The kernel crate of Linux 7.3 has no super block, inode, dentry, folio or
//! iomap. This module provides them in the shape of one trait, [`FileSystem`]: an
//! implementation of it contains no unsafe code.
//!
//! It is generic over the file system `F` in form, and has one user. Of that it
//! knows the names "ondine" (of the slab cache, the workqueue, sysfs and debugfs),
//! the mount options with their meaning ([`MountOption`]: `fsid`, `domain_id` and
//! so on), and that two EROFS file systems must not be stacked
//! ([`EROFS_MAGIC`]). All else comes from `F`.
//!
//! | file | content |
//! | --- | --- |
//! | [`registration`], [`fs_type`] | registering the type; state that its super blocks share |
//! | [`fs_context`], [`mount_source`] | mount options, from `fsconfig(2)` to a super block |
//! | [`fill_super`], [`super_ops`], [`super_block`] | filling a super block, its operations, and its use |
//! | [`statfs`], [`mod@export`] | `statfs(2)`, `/proc/mounts`; file handles |
//! | [`iget`], [`inode_slab`], [`inode`] | getting, allocating and using inodes |
//! | [`inode_ops`] | the `inode_operations` tables |
//! | [`dir`], [`xattr`], [`acl`] | directories, extended attributes, ACLs |
//! | [`file`](mod@file), [`read`], [`read_call`], [`iov_iter`] | `file_operations`; `read(2)` and its arguments |
//! | [`extent`], [`extent_cache`], [`iomap`] | the location of file data |
//! | [`aops`], [`read_request`] | filling the page cache of an inode |
//! | [`blob`], [`backing`], [`folio`] | the files and devices that hold an image |
//! | [`prefetch`] | requesting missing data ahead of a reader |
//! | [`cache_dir`], [`credentials`] | cache files |
//! | [`rw_lock`] | a lock that tasks share |
//! | [`wait`], [`work`], [`workqueue`], [`timer`], [`suspend`] | waiting, and deferring work |
//! | [`sysfs`], [`debugfs`], [`mod@trace`] | state for user space |
//! | `page_cache.c`, `cache_dir.c`, `fs_context.c` | code that needs macros and inline functions |

mod acl;
mod aops;
mod backing;
mod blob;
mod cache_dir;
mod credentials;
mod debugfs;
mod dir;
mod export;
mod extent;
mod extent_cache;
mod file;
mod fill_super;
mod folio;
mod fs_context;
mod fs_type;
mod iget;
mod inode;
mod inode_ops;
mod inode_slab;
mod iomap;
mod iov_iter;
mod mount_source;
mod prefetch;
mod read;
mod read_call;
mod read_request;
mod registration;
mod rw_lock;
mod statfs;
mod super_block;
mod super_ops;
mod suspend;
mod sysfs;
mod timer;
mod trace;
mod wait;
mod work;
mod workqueue;
mod xattr;

pub(crate) use self::{
    backing::{Backing, BackingKind, Unfit, EROFS_MAGIC},
    blob::{metadata_error, Blob, Present},
    cache_dir::{CacheDir, CacheDirEntry, CacheFile},
    debugfs::{DebugDirectory, Report},
    dir::{DirSink, Flow},
    extent::{Extent, Target, Waiting},
    fill_super::{NewSuperBlock, SuperParameters},
    folio::MetaSlice,
    inode::{FileKind, INode, InodeAttributes},
    mount_source::{MountContext, MountOption, MountSource},
    read_request::{ReadMode, ReadRequest},
    registration::Registration,
    rw_lock::RwLock,
    statfs::{OptionWriter, StatFs},
    super_block::SuperBlock,
    suspend::{SuspendHandler, SuspendNotifier},
    sysfs::{PageWriter, SysfsAttribute},
    timer::{start as start_timer, TimerHandler},
    trace::{trace, Event},
    wait::{check_killed, WaitQueue},
    work::{WorkHandler, WorkItem},
    xattr::{XattrList, XattrNamespace}, //
};

use kernel::{
    prelude::*,
    sync::{aref::ARef, Arc},
};

/// A read-only file system.
///
/// All methods may sleep. Their errors are returned to user space.
pub(crate) trait FileSystem: Sized + 'static {
    /// Magic number, for `statfs(2)`.
    const MAGIC: u64;

    /// State that all super blocks of the type share; handles the module's timer.
    type Shared: TimerHandler;
    /// Mount options.
    type Options: Send + Sync + Default;
    /// Data of a super block, dropped after its last inode was evicted.
    type Data: Send + Sync;
    /// The file system's part of an inode; plain data without a drop.
    type Node: Copy + Send + Sync;
    /// A file or device that holds data of the image; owned by [`Self::Data`].
    type Blob: Blob;

    /// Applies a mount option to `options`.
    fn parse(options: &mut Self::Options, option: MountOption) -> Result;

    /// Returns whether the image is in the cache, so that no source is opened.
    fn is_cached(options: &Self::Options) -> bool;

    /// Options for a remount to change, with the current values.
    fn options(sb: &SuperBlock<Self>) -> Self::Options;

    /// Remounts with `options`. Returns whether POSIX ACLs are in effect.
    fn reconfigure(
        sb: &SuperBlock<Self>,
        options: Self::Options,
        context: &MountContext<'_>,
    ) -> Result<bool>;

    /// Makes the data of a super block whose image is in the cache, before there is
    /// one.
    fn prepare(
        context: &MountContext<'_>,
        shared: &Arc<Self::Shared>,
        options: Self::Options,
    ) -> Result<(KBox<Self::Data>, SuperParameters)>;

    /// Makes the data of a new super block from its source.
    fn fill(
        sb: &NewSuperBlock<'_, Self>,
        options: Self::Options,
        source: MountSource,
    ) -> Result<(KBox<Self::Data>, SuperParameters)>;

    /// Reads the metadata that inodes are needed for. Returns the nid of the
    /// root.
    fn activate(sb: &SuperBlock<Self>) -> Result<u64>;

    /// Drops every reference to an inode that [`Self::Data`] holds, before the VFS
    /// evicts all inodes of the super block. Nothing else uses the data any more.
    fn deactivate(data: &mut Self::Data);

    /// The inode number of a nid.
    fn ino(data: &Self::Data, nid: u64) -> u64;

    /// Reads the inode with this nid from the image.
    fn read_inode(sb: &SuperBlock<Self>, nid: u64) -> Result<(Self::Node, InodeAttributes)>;

    /// Looks a name up in a directory. Returns its nid, or `None` if it does not
    /// exist.
    fn lookup(dir: &INode<Self>, name: &[u8]) -> Result<Option<u64>>;

    /// Emits directory entries, beginning at `sink.position()`.
    fn read_dir(dir: &INode<Self>, sink: &mut DirSink<'_>) -> Result;

    /// The blobs of a mounted image; the first one holds the metadata.
    fn blobs(data: &Self::Data) -> &[Self::Blob];

    /// Maps a file position. Returns the extent that contains `position`; the
    /// file system may end it after `want` bytes.
    ///
    /// # Errors
    ///
    /// EAGAIN for metadata that is missing, if `waiting` is [`Waiting::Never`].
    fn map(
        inode: &INode<Self>,
        position: u64,
        want: u64,
        waiting: Waiting,
    ) -> Result<Extent<'_, Self>>;

    /// Fails all reads that wait for missing data, and those to come, so that the
    /// super block can be unmounted (`umount -f`).
    fn abort(data: &Self::Data);

    /// Reads the value of an extended attribute, and returns its length; only the
    /// length if `value` is `None`.
    fn xattr(
        inode: &INode<Self>,
        namespace: XattrNamespace,
        name: &[u8],
        value: Option<&mut [u8]>,
    ) -> Result<usize>;

    /// Adds the names of all extended attributes to `list`.
    fn list_xattrs(inode: &INode<Self>, list: &mut XattrList<'_>) -> Result;

    /// The result of `statfs(2)`.
    fn statfs(sb: &SuperBlock<Self>) -> StatFs;

    /// Prints the mount options for `/proc/mounts`.
    fn show_options(data: &Self::Data, options: &mut OptionWriter<'_>);

    /// The volume label, for `FS_IOC_GETFSLABEL`.
    fn label(data: &Self::Data) -> &[u8];

    /// The files of `/sys/fs/ondine/<id>/`.
    const ATTRIBUTES: &'static [SysfsAttribute<Self>];
}

/// A counted reference to an inode.
pub(crate) type InodeRef<F> = ARef<INode<F>>;
