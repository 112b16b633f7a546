// SPDX-License-Identifier: GPL-2.0

//! Inodes: allocating, finding, filling and publishing them.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    aops,
    dir,
    file,
    iomap::{Extent, Target},
    registration::Registration,
    whole::Whole,
    xattr,
    FileSystem,
    InodeRef,
    SuperBlock, //
};
use crate::sys;
use core::{
    marker::PhantomData,
    mem::{offset_of, MaybeUninit},
    ptr::{self, NonNull},
};
use kernel::{
    prelude::*,
    sync::aref::{ARef, AlwaysRefCounted},
    types::Opaque,
};

/// What the slab cache holds: the VFS inode and what the file system adds.
#[repr(C)]
pub(super) struct Container<F: FileSystem> {
    /// Where the container came from: the super block is gone when it returns.
    cache: *mut sys::kmem_cache,
    /// Key in the inode cache; set before the inode can be found.
    nid: u64,
    /// Initialised before the inode is unlocked; never, if reading it failed.
    node: MaybeUninit<F::Node>,
    /// Initialised with the node.
    whole: MaybeUninit<Whole<F::Blob>>,
    inode: Opaque<sys::inode>,
}

impl<F: FileSystem> Container<F> {
    /// Slab constructor: the part of an inode that survives being freed.
    ///
    /// # Safety
    ///
    /// `object` is memory for a container, which nobody uses.
    pub(super) unsafe extern "C" fn construct(object: *mut c_void) {
        // SAFETY: The slab cache calls this with an object of its size.
        unsafe {
            sys::inode_init_once(Opaque::cast_into(&raw const (*object.cast::<Self>()).inode))
        };
    }

    /// # Safety
    ///
    /// `inode` was allocated by [`alloc`] for the same `F`.
    unsafe fn of(inode: *mut sys::inode) -> *mut Self {
        // SAFETY: By the caller, `inode` is the field of a container.
        unsafe { inode.byte_sub(offset_of!(Self, inode)).cast() }
    }
}

/// An inode of the file system type `F`, complete and unlocked.
///
/// # Invariants
///
/// It is part of a [`Container`] whose `node` and `whole` are initialised.
#[repr(transparent)]
pub(crate) struct INode<F: FileSystem>(Opaque<sys::inode>, PhantomData<F>);

// SAFETY: An inode may be used and released from any task.
unsafe impl<F: FileSystem> Send for INode<F> {}
// SAFETY: What is read through `&self` is not changed after initialisation.
unsafe impl<F: FileSystem> Sync for INode<F> {}

// SAFETY: `ihold` and `iput` count references, and the last one evicts.
unsafe impl<F: FileSystem> AlwaysRefCounted for INode<F> {
    fn inc_ref(&self) {
        // SAFETY: A shared reference means that the count is not zero.
        unsafe { sys::ihold(self.as_raw()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: By the caller, one reference is given up.
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

    /// Gives up a counted reference to C.
    pub(super) fn into_raw(inode: InodeRef<F>) -> *mut sys::inode {
        ARef::into_raw(inode).cast().as_ptr()
    }

    fn container(&self) -> &Container<F> {
        // SAFETY: By the type invariants.
        unsafe { &*Container::<F>::of(self.as_raw()) }
    }

    /// The number that names the inode on disk.
    pub(crate) fn nid(&self) -> u64 {
        self.container().nid
    }

    /// What the file system keeps for the inode.
    pub(crate) fn node(&self) -> &F::Node {
        // SAFETY: By the type invariants.
        unsafe { self.container().node.assume_init_ref() }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        // SAFETY: Valid by the type invariants; a read-only size is constant.
        unsafe { (*self.as_raw()).i_size }.cast_unsigned()
    }

    /// The file type bits of the mode.
    fn kind(&self) -> u32 {
        // SAFETY: Valid by the type invariants; the mode is constant.
        u32::from(unsafe { (*self.as_raw()).i_mode }) & sys::S_IFMT
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> bool {
        self.kind() == sys::S_IFDIR
    }

    /// The extent that holds `position`, as [`FileSystem::map`] gives it.
    ///
    /// # Errors
    ///
    /// As [`FileSystem::map`].
    #[inline]
    pub(super) fn extent(&self, position: u64, want: u64) -> Result<Extent<'_, F>> {
        match self.whole() {
            Some((blob, address)) => Ok(Extent {
                start: 0,
                len: self.size(),
                target: Target::Blob(blob, address),
            }),
            None => F::map(self, position, want),
        }
    }

    /// Whether nothing of the file can be missing, as far as that is easily told:
    /// of all files of a mount, or of one that is a single extent.
    pub(super) fn is_present(&self) -> bool {
        if F::is_whole(self.super_block().data()) {
            return true;
        }
        let whole = self.whole();
        whole.is_some_and(|(blob, address)| !F::is_missing(blob, address, self.size()))
    }

    /// Where all of the file lies, if it is one extent and asking the image for
    /// that never waits.
    #[inline]
    fn whole(&self) -> Option<(&F::Blob, u64)> {
        // SAFETY: Initialised by the type invariants.
        let whole = unsafe { self.container().whole.assume_init_ref() };
        // SAFETY: The super block outlives its inodes.
        match unsafe { whole.get() } {
            None if whole.is_unknown() => self.look_for_whole(whole),
            known => known,
        }
    }

    #[cold]
    fn look_for_whole(&self, whole: &Whole<F::Blob>) -> Option<(&F::Blob, u64)> {
        if !F::has_metadata(self.super_block().data()) {
            return None;
        }
        // An error is for the read that needs the place to meet.
        let extent = F::map(self, 0, self.size()).ok()?;
        let found = match extent.target {
            Target::Blob(blob, address) if extent.start == 0 && extent.len >= self.size() => {
                Some((blob, address))
            }
            _ => None,
        };
        whole.set(found);
        found
    }

    /// The super block.
    pub(crate) fn super_block(&self) -> &SuperBlock<F> {
        // SAFETY: A complete inode's super block is filled and outlives it.
        unsafe { SuperBlock::from_raw((*self.as_raw()).i_sb) }
    }

    /// Bytes of this inode's own page cache: up to `len` from `offset` on.
    ///
    /// # Errors
    ///
    /// EUCLEAN if this is no regular file, or ends before `offset + 1`; what
    /// mapping and reading give.
    pub(crate) fn cached_bytes(&self, offset: u64, len: usize) -> Result<super::MetaSlice> {
        let left = self.size().saturating_sub(offset);
        if self.kind() != sys::S_IFREG || left == 0 {
            return Err(EUCLEAN);
        }
        let len = left.min(len as u64) as usize;
        // SAFETY: The mapping is a regular file's own, and reads by itself,
        // without a file.
        let folio = unsafe {
            let mapping = (*self.as_raw()).i_mapping;
            let index = (offset >> sys::PAGE_SHIFT) as usize;
            sys::ondine_read_folio(mapping, index)
        };
        let folio = kernel::error::from_err_ptr(folio)?;
        // SAFETY: The call gave a reference to an up-to-date folio that holds
        // `offset`.
        Ok(unsafe { super::MetaSlice::new(folio, offset, len) })
    }
}

/// What kind of file an inode is.
pub(crate) enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link; with its target, if that is known already.
    Link(Option<KVec<u8>>),
    /// A device, fifo or socket: major and minor number.
    Special(u32, u32),
}

/// What user space sees of an inode.
pub(crate) struct Attributes {
    pub(crate) kind: Kind,
    /// File type and permissions, as `st_mode`.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    /// Bytes; below 2^63.
    pub(crate) size: u64,
    /// Units of 512 bytes.
    pub(crate) blocks: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) mtime_nsec: u32,
    /// Whether the inode surely has no ACL, so that it need not be asked.
    pub(crate) no_acl: bool,
}

/// An inode that only this task can use: locked, in the cache, not filled.
///
/// # Invariants
///
/// `0` is new (`I_NEW`), of type `F`, and its reference is ours.
struct NewInode<F: FileSystem>(NonNull<sys::inode>, PhantomData<F>);

impl<F: FileSystem> NewInode<F> {
    /// Fills the inode, and makes it visible.
    fn publish(self, node: F::Node, attributes: Attributes) -> InodeRef<F> {
        let inode = self.0.as_ptr();
        // SAFETY: By the type invariants nobody else uses the inode.
        unsafe {
            (*Container::<F>::of(inode)).node.write(node);
            (*Container::<F>::of(inode)).whole.write(Whole::new());
            (*inode).i_mode = attributes.mode;
            (*inode).i_size = attributes.size.cast_signed();
            (*inode).i_blocks = attributes.blocks;
            sys::ondine_inode_set_owner(inode, attributes.uid, attributes.gid);
            sys::set_nlink(inode, attributes.nlink);
            sys::ondine_inode_set_times(inode, attributes.mtime, attributes.mtime_nsec);
            if attributes.no_acl {
                sys::ondine_inode_set_no_acl(inode);
            }
            match attributes.kind {
                Kind::Regular => file::set_up::<F>(inode),
                Kind::Directory => dir::set_up::<F>(inode),
                Kind::Link(target) => Self::set_up_link(inode, target),
                Kind::Special(major, minor) => {
                    (*inode).i_op = xattr::Table::<F>::SPECIAL;
                    let device = sys::ondine_mkdev(major, minor);
                    sys::init_special_inode(inode, attributes.mode, device);
                }
            }
            sys::unlock_new_inode(inode);
        }
        // The drop would give the inode up.
        core::mem::forget(self);
        // SAFETY: The inode is complete now, and its reference was ours.
        unsafe { ARef::from_raw(NonNull::new_unchecked(inode.cast())) }
    }

    /// # Safety
    ///
    /// `inode` is new, and a symbolic link.
    unsafe fn set_up_link(inode: *mut sys::inode, target: Option<KVec<u8>>) {
        // SAFETY: By the caller. A known target belongs to the inode from now
        // on, and `free` gives it back.
        unsafe {
            match target {
                Some(target) => {
                    let len = target.len().saturating_sub(1) as c_int;
                    let (data, _, _) = target.into_raw_parts();
                    sys::ondine_inode_set_link(inode, data.cast(), len);
                    (*inode).i_op = xattr::Table::<F>::FAST_LINK;
                }
                None => {
                    sys::inode_nohighmem(inode);
                    (*inode).i_op = xattr::Table::<F>::LINK;
                    aops::set_up::<F>(inode);
                }
            }
        }
    }
}

impl<F: FileSystem> Drop for NewInode<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants: waiters are woken and see a failure,
        // and the reference is dropped.
        unsafe { sys::iget_failed(self.0.as_ptr()) };
    }
}

/// Finds or reads the inode with this nid.
pub(super) fn get<F: FileSystem>(sb: &SuperBlock<F>, nid: u64) -> Result<InodeRef<F>> {
    let ino = F::ino(sb.data(), nid);
    let mut key = nid;
    // SAFETY: The callbacks get inodes of this super block, and `key`.
    let inode = unsafe {
        sys::iget5_locked(
            sb.as_raw(),
            ino,
            Some(is_nid::<F>),
            Some(set_nid::<F>),
            (&raw mut key).cast(),
        )
    };
    let inode = NonNull::new(inode).ok_or(ENOMEM)?;
    // SAFETY: iget5_locked() gave a reference.
    if unsafe { !sys::ondine_inode_is_new(inode.as_ptr()) } {
        // SAFETY: Not new means complete; the reference is ours.
        return Ok(unsafe { ARef::from_raw(inode.cast()) });
    }
    // INVARIANT: The inode is new, and iget5_locked() gave the reference.
    let new = NewInode::<F>(inode, PhantomData);
    let (node, attributes) = F::read_inode(sb, nid)?;
    // SAFETY: Nobody else uses the new inode.
    unsafe { (*inode.as_ptr()).i_ino = ino };
    Ok(new.publish(node, attributes))
}

/// Callback of iget5_locked(): is it this inode?
///
/// # Safety
///
/// `inode` is of type `F`, and has its nid; `key` points to a nid.
unsafe extern "C" fn is_nid<F: FileSystem>(inode: *mut sys::inode, key: *mut c_void) -> c_int {
    // SAFETY: `get` gave the key; inodes of the type are in containers, whose
    // nid is set before they are in the cache.
    unsafe { ((*Container::<F>::of(inode)).nid == *key.cast::<u64>()).into() }
}

/// Callback of iget5_locked(): names a new inode.
///
/// # Safety
///
/// `inode` is new and of type `F`; `key` points to a nid.
unsafe extern "C" fn set_nid<F: FileSystem>(inode: *mut sys::inode, key: *mut c_void) -> c_int {
    // SAFETY: As above; the inode is not visible yet.
    unsafe { (*Container::<F>::of(inode)).nid = *key.cast::<u64>() };
    0
}

/// `super_operations.alloc_inode`
///
/// # Safety
///
/// `sb` is of type `F`.
pub(super) unsafe extern "C" fn alloc<F: FileSystem>(sb: *mut sys::super_block) -> *mut sys::inode {
    // SAFETY: The VFS gives a super block of the type that this is a callback
    // of; the cache's objects are containers.
    unsafe {
        let cache = Registration::<F>::cache_of(sb);
        let object = sys::ondine_alloc_inode_sb(sb, cache).cast::<Container<F>>();
        if object.is_null() {
            return ptr::null_mut();
        }
        (*object).cache = cache;
        Opaque::cast_into(&raw const (*object).inode)
    }
}

/// `super_operations.free_inode`: after an RCU grace period.
///
/// # Safety
///
/// `inode` came from [`alloc`] for `F`, and is not used any more.
pub(super) unsafe extern "C" fn free<F: FileSystem>(inode: *mut sys::inode) {
    // SAFETY: The VFS gives an inode of ours that nobody uses any more; its
    // super block may be gone, the cache waits for us (`rcu_barrier`). Only a
    // link whose target was known has one (`i_link` shares its place with
    // fields of other kinds of file), made by `KVec`.
    unsafe {
        if u32::from((*inode).i_mode) & sys::S_IFMT == sys::S_IFLNK {
            sys::kfree((*inode).__bindgen_anon_5.i_link.cast());
        }
        let container = Container::<F>::of(inode);
        sys::kmem_cache_free((*container).cache, container.cast());
    }
}
