// SPDX-License-Identifier: GPL-2.0

//! Super blocks: making, using and unmaking them.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{
    backing::Backing, context::MountContext, export, inode, stats, sysfs, xattr, FileSystem, INode,
    InodeRef, Source,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// A super block of the file system type `F`, mounted or being activated.
///
/// # Invariants
///
/// `s_fs_info` is a `KBox<Info<F>>` made by [`fill`].
#[repr(transparent)]
pub(crate) struct SuperBlock<F: FileSystem>(Opaque<sys::super_block>, PhantomData<F>);

/// What hangs off `s_fs_info`.
struct Info<F: FileSystem> {
    data: KBox<F::Data>,
    entry: Option<sysfs::Entry<F>>,
}

impl<F: FileSystem> SuperBlock<F> {
    /// # Safety
    ///
    /// `sb` is valid for `'a`, of type `F`, and [`fill`] stored its data.
    pub(super) unsafe fn from_raw<'a>(sb: *mut sys::super_block) -> &'a Self {
        // SAFETY: By the caller; the wrappers are transparent.
        unsafe { &*sb.cast::<Self>() }
    }

    pub(super) fn as_raw(&self) -> *mut sys::super_block {
        self.0.get()
    }

    /// What the file system keeps for this super block.
    pub(crate) fn data(&self) -> &F::Data {
        // SAFETY: By the type invariants.
        unsafe { &(*(*self.as_raw()).s_fs_info.cast::<Info<F>>()).data }
    }

    /// Bytes in a block.
    pub(crate) fn block_size(&self) -> u32 {
        // SAFETY: Set by `fill`, not changed any more.
        unsafe { (*self.as_raw()).s_blocksize as u32 }
    }

    /// The name that stands for the super block in messages and in sysfs.
    pub(crate) fn id(&self) -> &CStr {
        // SAFETY: `s_id` is set when a super block is made, NUL-terminated, and
        // not changed any more.
        unsafe { CStr::from_char_ptr((*self.as_raw()).s_id.as_ptr()) }
    }

    /// The inode with this nid, from the inode cache or read anew.
    ///
    /// # Errors
    ///
    /// What [`FileSystem::read_inode`] says; ENOMEM.
    pub(crate) fn inode(&self, nid: u64) -> Result<InodeRef<F>> {
        inode::get(self, nid)
    }

    /// One rate-limited line in the kernel log: device, nid, what is wrong.
    pub(crate) fn log_defect(&self, nid: u64, message: &str) {
        // SAFETY: The device's name is NUL-terminated, the message comes with
        // its length.
        unsafe {
            sys::ondine_pr_err_ratelimited(
                self.id().as_char_ptr(),
                nid,
                message.as_ptr().cast(),
                message.len() as c_int,
            )
        };
    }
}

/// What a file system decides about its super block.
pub(crate) struct SuperParameters {
    /// log2 of the block size: 9 to PAGE_SHIFT.
    pub(crate) block_bits: u8,
    /// All zeroes: none.
    pub(crate) uuid: [u8; 16],
    /// Whether POSIX ACLs are honoured.
    pub(crate) acl: bool,
}

/// A super block that has no data yet.
pub(crate) struct NewSuperBlock<'a, F: FileSystem> {
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    lifetime: PhantomData<(&'a (), F)>,
}

impl<F: FileSystem> NewSuperBlock<'_, F> {
    /// The context, for messages to the one who mounts.
    pub(crate) fn context(&self) -> MountContext<'_> {
        // SAFETY: The context is valid while the super block is being filled.
        unsafe { MountContext::from_raw(self.fc) }
    }

    /// What all super blocks of the type use.
    pub(crate) fn shared(&self) -> &F::Shared {
        // SAFETY: The super block is of type `F`; the type outlives it.
        unsafe { super::Registration::<F>::shared_of(self.sb) }
    }

    /// The block device that the super block was made for.
    ///
    /// # Errors
    ///
    /// EINVAL if it was not made for one.
    pub(crate) fn device(&self) -> Result<Backing> {
        // SAFETY: A new super block's device file is set before `fill`, if ever.
        unsafe {
            let file = (*self.sb).s_bdev_file;
            if file.is_null() {
                return Err(EINVAL);
            }
            Backing::from_owned(sys::ondine_get_file(file))
        }
    }

    /// Opens a further block device, shared among super blocks of the type.
    pub(crate) fn open_device(&self, path: &CStr) -> Result<Backing> {
        // SAFETY: The super block's type is set; it marks who holds the device.
        Backing::open_device(path, unsafe { (*self.sb).s_type.cast() })
    }
}

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::super_operations = &sys::super_operations {
        alloc_inode: Some(inode::alloc::<F>),
        free_inode: Some(inode::free::<F>),
        drop_inode: Some(drop_inode),
        statfs: Some(stats::statfs::<F>),
        show_options: Some(stats::show_options::<F>),
        umount_begin: Some(umount_begin::<F>),
        ..pin_init::zeroed()
    };
}

/// `super_operations.drop_inode`
///
/// The VFS' own rule evicts an inode without links with its last user, which may
/// be memory reclaim giving up a dentry: eviction waits for folios, and those of a
/// parked read wait for the daemon, which may wait for memory. The number of links
/// is what the image says, and means nothing here.
///
/// # Safety
///
/// `inode` is valid, and locked.
unsafe extern "C" fn drop_inode(inode: *mut sys::inode) -> c_int {
    // SAFETY: By the caller.
    unsafe { sys::ondine_inode_is_unhashed(inode) }.into()
}

/// `super_operations.umount_begin`
///
/// # Safety
///
/// `sb` is mounted, and of type `F`.
unsafe extern "C" fn umount_begin<F: FileSystem>(sb: *mut sys::super_block) {
    // SAFETY: The VFS gives a mounted super block of ours.
    F::abort(unsafe { SuperBlock::<F>::from_raw(sb) }.data());
}

/// Makes a new super block ready: data, operations, root.
///
/// # Safety
///
/// `sb` is new, of type `F`, and locked by the caller; `fc` is its context.
pub(super) unsafe fn fill<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    options: F::Options,
    source: Source,
) -> Result {
    let new = NewSuperBlock::<F> {
        sb,
        fc,
        lifetime: PhantomData,
    };
    // SAFETY: By the caller, for the rest of this function where it names `sb`.
    let on_device = unsafe { !(*sb).s_bdev.is_null() };
    // Flags first: a failure on the way must leave a super block that is
    // read-only.
    // SAFETY: As above.
    unsafe {
        (*sb).s_flags |= sys::ONDINE_CONST_SB_RDONLY | sys::ONDINE_CONST_SB_NOATIME;
        (*sb).s_magic = F::MAGIC as usize;
        (*sb).s_maxbytes = sys::ONDINE_CONST_MAX_LFS_FILESIZE;
        (*sb).s_time_gran = 1;
        (*sb).s_op = Table::<F>::OPS;
        (*sb).s_xattr = xattr::Table::<F>::HANDLERS.as_ptr().cast();
        (*sb).s_export_op = ptr::from_ref(export::Table::<F>::OPS).cast();
    }
    if !on_device {
        // SAFETY: As above. Without a bdi there is no readahead.
        unsafe {
            sys::ondine_super_set_id(sb);
            to_result(sys::super_setup_bdi(sb))?;
        }
    }

    let (data, parameters) = F::fill(&new, options, source)?;
    // Inline data and directory blocks are taken to fit into a page.
    if !(9..=sys::PAGE_SHIFT).contains(&parameters.block_bits.into()) {
        return Err(EINVAL);
    }
    let block_size = 1usize << (parameters.block_bits & 31);
    // SAFETY: As above.
    unsafe {
        if on_device {
            if sys::sb_set_blocksize(sb, block_size as c_int) == 0 {
                new.context()
                    .error(c"block size of the image is not supported by the block device");
                return Err(EINVAL);
            }
        } else {
            (*sb).s_blocksize = block_size;
            (*sb).s_blocksize_bits = parameters.block_bits;
        }
        if parameters.acl {
            (*sb).s_flags |= sys::ONDINE_CONST_SB_POSIXACL;
        }
        sys::ondine_super_set_uuid(sb, parameters.uuid.as_ptr(), 16);
        sys::ondine_super_set_sysfs_name(sb);
    }
    let info = KBox::new(Info::<F> { data, entry: None }, GFP_KERNEL)?;
    let info = KBox::into_raw(info);
    // SAFETY: As above. From here on the data belongs to the super block, and
    // `kill_sb` frees it, also if what follows fails.
    unsafe { (*sb).s_fs_info = info.cast() };

    // INVARIANT: The data was stored just above.
    // SAFETY: As above.
    let ready = unsafe { SuperBlock::<F>::from_raw(sb) };
    let root = ready.inode(F::activate(ready)?)?;
    if !root.is_dir() {
        new.context().error(c"the root inode is not a directory");
        return Err(EINVAL);
    }
    // SAFETY: The reference goes to d_make_root(), which drops it on failure.
    unsafe {
        (*sb).s_root = sys::d_make_root(INode::into_raw(root));
        if (*sb).s_root.is_null() {
            return Err(ENOMEM);
        }
    }
    // SAFETY: The super block is of the type `F`; `info` is alive, and nothing
    // else reads the entry.
    unsafe { (*info).entry = Some(sysfs::Entry::new(ready)?) };
    Ok(())
}

/// `file_system_type.kill_sb`
///
/// # Safety
///
/// `sb` is of type `F`, complete or not, and nobody else uses it.
pub(super) unsafe extern "C" fn kill_sb<F: FileSystem>(sb: *mut sys::super_block) {
    // SAFETY: The VFS gives a valid super block, which may be half-built: its
    // data may be missing.
    let info = unsafe { (*sb).s_fs_info }.cast::<Info<F>>();
    if !info.is_null() {
        // The sysfs directory goes first: its files read the data. Then the
        // inodes that the data holds, or the VFS finds them busy.
        // SAFETY: `fill` stored an `Info<F>`, and nothing else is using the
        // super block any more.
        unsafe {
            (*info).entry = None;
            F::deactivate(&(*info).data);
        }
    }
    // The mode is told by the device number, which is there from the start.
    // SAFETY: As above.
    unsafe {
        if sys::ondine_dev_is_anon((*sb).s_dev) {
            sys::kill_anon_super(sb);
        } else {
            sys::kill_block_super(sb);
        }
    }
    if !info.is_null() {
        // SAFETY: All inodes are gone, and with them the last users.
        drop(unsafe { KBox::from_raw(info) });
    }
}
