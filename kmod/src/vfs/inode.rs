// SPDX-License-Identifier: GPL-2.0

//! Complete inodes, as the file system and the callbacks use them.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    blob::Blob,
    extent::{Extent, Target, Waiting},
    extent_cache::ExtentCache,
    inode_slab::Container,
    iov_iter::IovIter,
    FileSystem, InodeRef, SuperBlock,
};
use crate::sys;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque,
};

/// An inode of the file system type `F` that has been filled and unlocked.
///
/// # Invariants
///
/// It is part of a [`Container`] whose `node` and `extent` are initialised.
#[repr(transparent)]
pub(crate) struct INode<F: FileSystem>(Opaque<sys::inode>, PhantomData<F>);

// SAFETY: An inode may be used and released from any task.
unsafe impl<F: FileSystem> Send for INode<F> {}
// SAFETY: The fields that are read through `&self` do not change after the inode
// was filled; the page cache takes its own locks.
unsafe impl<F: FileSystem> Sync for INode<F> {}

// SAFETY: `ihold()` and `iput()` count references; the inode is not freed before
// the last one is dropped.
unsafe impl<F: FileSystem> AlwaysRefCounted for INode<F> {
    fn inc_ref(&self) {
        // SAFETY: A shared reference means that the count is not zero.
        unsafe { sys::ihold(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the caller, which gives up a reference.
        unsafe { sys::iput(obj.cast().as_ptr()) };
    }
}

impl<F: FileSystem> INode<F> {
    /// # Safety
    ///
    /// `inode` is valid for `'a`, of type `F`, and complete.
    pub(super) unsafe fn from_raw<'a>(inode: *mut sys::inode) -> &'a Self {
        // SAFETY: By the caller; the wrappers are transparent.
        unsafe { &*inode.cast::<Self>() }
    }

    pub(super) fn as_raw(&self) -> *mut sys::inode {
        self.0.get()
    }

    /// Turns a counted reference into a raw one, for C to drop.
    pub(super) fn into_raw(inode: InodeRef<F>) -> *mut sys::inode {
        ARef::into_raw(inode).cast().as_ptr()
    }

    fn container(&self) -> &Container<F> {
        // SAFETY: By the type invariants.
        unsafe { &*Container::<F>::of(self.as_raw()) }
    }

    /// The nid, which identifies the inode in the image.
    pub(crate) fn nid(&self) -> u64 {
        self.container().nid
    }

    /// The file system's part of the inode.
    pub(crate) fn node(&self) -> &F::Node {
        // SAFETY: By the type invariants.
        unsafe { self.container().node.assume_init_ref() }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: Valid by the type invariants; the size does not change, since
        // the file system is read-only.
        unsafe { (*self.as_raw()).i_size }.cast_unsigned()
    }

    /// The file type bits of the mode.
    fn kind(&self) -> u32 {
        // SAFETY: Valid by the type invariants; the mode does not change.
        u32::from(unsafe { (*self.as_raw()).i_mode }) & sys::S_IFMT
    }

    /// Returns whether the inode is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == sys::S_IFDIR
    }

    /// The extent that contains `position`, as returned by [`FileSystem::map`].
    ///
    /// # Errors
    ///
    /// As [`FileSystem::map`].
    #[inline]
    pub(super) fn extent(
        &self,
        position: u64,
        want: u64,
        waiting: Waiting,
    ) -> Result<Extent<'_, F>> {
        match self.single_extent() {
            Some((blob, address)) => Ok(Extent {
                start: 0,
                len: self.size(),
                target: Target::Blob(blob, address),
            }),
            None => F::map(self, position, want, waiting),
        }
    }

    /// Returns whether no byte of the file is missing. May return false for a
    /// file that is not a single extent while its blobs are being filled.
    pub(super) fn is_fully_present(&self) -> bool {
        let mut blobs = F::blobs(self.super_block().data()).iter();
        if blobs.all(Blob::is_fully_present) {
            return true;
        }
        let extent = self.single_extent();
        extent.is_some_and(|(blob, address)| !blob.is_missing(address, self.size()))
    }

    /// The location of the file, if it is a single extent and reading its extents
    /// does not wait for metadata.
    #[inline]
    fn single_extent(&self) -> Option<(&F::Blob, u64)> {
        // SAFETY: Initialised by the type invariants.
        let cached = unsafe { self.container().extent.assume_init_ref() };
        // SAFETY: The super block owns the blobs and outlives its inodes.
        match unsafe { cached.get() } {
            None if cached.is_unknown() => self.find_single_extent(cached),
            known => known,
        }
    }

    #[cold]
    fn find_single_extent(&self, cached: &ExtentCache<F::Blob>) -> Option<(&F::Blob, u64)> {
        let metadata = F::blobs(self.super_block().data()).first()?;
        if !metadata.is_fully_present() {
            return None;
        }
        // An error is for the read that needs the extent to report.
        let extent = F::map(self, 0, self.size(), Waiting::Never).ok()?;
        let found = match extent.target {
            Target::Blob(blob, address) if extent.start == 0 && extent.len >= self.size() => {
                Some((blob, address))
            }
            _ => None,
        };
        cached.set(found);
        found
    }

    /// The super block.
    pub(crate) fn super_block(&self) -> &SuperBlock<F> {
        // SAFETY: The super block of a complete inode has its data, and outlives
        // the inode.
        unsafe { SuperBlock::from_raw((*self.as_raw()).i_sb) }
    }

    /// Logs, rate-limited, that the blob ends before the file does.
    #[cold]
    pub(super) fn log_cut(&self) {
        // SAFETY: Valid by the type invariants; the super block outlives it.
        unsafe { sys::ondine_log_cut(self.as_raw()) };
    }

    /// Copies up to `len` bytes at `position` to `iter` that are in the page cache
    /// of the inode itself. Returns their number.
    #[inline]
    pub(super) fn read_cached(&self, mut iter: IovIter<'_>, position: u64, len: u64) -> usize {
        let (inode, position) = (self.as_raw(), position.cast_signed());
        // SAFETY: The inode is valid by the type invariants, and so is the
        // iterator.
        unsafe { sys::ondine_read_mapped(inode, position, len as usize, iter.as_raw()) }
    }

    /// Reads metadata from the inode's page cache: up to `len` bytes at `offset`,
    /// at least one, as far as one folio goes.
    ///
    /// # Errors
    ///
    /// EUCLEAN if this is not a regular file, or ends at or before `offset`;
    /// those of [`FileSystem::map`] and of reading.
    pub(crate) fn cached_bytes(&self, offset: u64, len: usize) -> Result<super::MetaSlice> {
        let left = self.size().saturating_sub(offset);
        if self.kind() != sys::S_IFREG || left == 0 {
            return Err(EUCLEAN);
        }
        let len = left.min(len as u64) as usize;
        // SAFETY: The mapping is that of a regular file of ours, whose
        // `read_folio` does not use the file.
        let folio = unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            let index = (offset >> sys::PAGE_SHIFT) as usize;
            sys::ondine_read_folio(mapping, index)
        };
        let folio = kernel::error::from_err_ptr(folio)?;
        // SAFETY: The call returned a reference to an up-to-date folio that
        // contains `offset`.
        Ok(unsafe { super::MetaSlice::new(folio, offset, len) })
    }
}

/// File type of an inode.
pub(crate) enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link, with its target if that is stored with the inode.
    Link(Option<KVec<u8>>),
    /// A device, FIFO or socket: major and minor number.
    Special(u32, u32),
}

/// Attributes of an inode, as `stat(2)` reports them.
pub(crate) struct InodeAttributes {
    pub(crate) kind: FileKind,
    /// File type and permissions, as `st_mode`.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    /// Size in bytes; below 2^63.
    pub(crate) size: u64,
    /// Allocated blocks, in units of 512 bytes.
    pub(crate) blocks: u64,
    /// Time of all timestamps, in seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) mtime_nsec: u32,
    /// The inode has no ACL: permission checks need not read its attributes.
    pub(crate) no_acl: bool,
}
