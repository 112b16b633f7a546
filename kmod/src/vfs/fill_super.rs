// SPDX-License-Identifier: GPL-2.0

//! Filling a new super block, and shutting it down.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{
    export, fs_type::FsType, mount_source::MountContext, super_block::Info, super_ops, sysfs,
    xattr, Backing, FileSystem, INode, SuperBlock, Unfit,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{error::to_result, prelude::*};

/// Parameters of a super block that the file system determines.
pub(crate) struct SuperParameters {
    /// log2 of the block size: 9 to PAGE_SHIFT.
    pub(crate) block_bits: u8,
    /// UUID of the image; all zeros if it has none.
    pub(crate) uuid: [u8; 16],
    /// POSIX ACLs are in effect.
    pub(crate) acl: bool,
}

/// A super block without data yet.
pub(crate) struct NewSuperBlock<'a, F: FileSystem> {
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    lifetime: PhantomData<(&'a (), F)>,
}

impl<F: FileSystem> NewSuperBlock<'_, F> {
    /// The mount context, for error messages.
    pub(crate) fn context(&self) -> MountContext<'_> {
        // SAFETY: The context is valid while the super block is being filled.
        unsafe { MountContext::from_raw(self.fc) }
    }

    /// The block device that the super block was made for.
    ///
    /// # Errors
    ///
    /// EINVAL if it was not made for one.
    pub(crate) fn device(&self) -> Result<Backing> {
        // SAFETY: The device file of a new super block, if there is one, is set
        // before `fill` is called, and held until the super block is shut down.
        unsafe {
            let file = (*self.sb).s_bdev_file;
            if file.is_null() {
                return Err(EINVAL);
            }
            Ok(Backing::from_owned(sys::ondine_get_file(file))?)
        }
    }

    /// Opens an extra block device, which super blocks of the type can share.
    pub(crate) fn open_device(&self, path: &CStr) -> Result<Backing, Unfit> {
        // SAFETY: The type of a super block is set before it is filled. It serves
        // as the holder of the device.
        Backing::open_device(path, unsafe { (*self.sb).s_type.cast() })
    }
}

/// Fills a new super block: operations, data, which `make` makes, root, sysfs
/// directory.
///
/// # Safety
///
/// `sb` is new, of type `F`, and locked by the caller; `fc` is its context.
pub(super) unsafe fn fill<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    make: impl FnOnce(&NewSuperBlock<'_, F>) -> Result<(KBox<F::Data>, SuperParameters)>,
) -> Result {
    let new = NewSuperBlock::<F> {
        sb,
        fc,
        lifetime: PhantomData,
    };
    // SAFETY: By the caller, here and wherever this function accesses `sb`.
    let on_device = unsafe { !(*sb).s_bdev.is_null() };
    // Set first: also a super block that fails later must be read-only.
    // SAFETY: As above.
    unsafe {
        (*sb).s_flags |= sys::ONDINE_CONST_SB_RDONLY | sys::ONDINE_CONST_SB_NOATIME;
        (*sb).s_magic = F::MAGIC as usize;
        (*sb).s_maxbytes = sys::ONDINE_CONST_MAX_LFS_FILESIZE;
        (*sb).s_time_gran = 1;
        (*sb).s_op = super_ops::Table::<F>::OPS;
        (*sb).s_xattr = xattr::Table::<F>::HANDLERS.as_ptr().cast();
        (*sb).s_export_op = ptr::from_ref(export::Table::<F>::OPS).cast();
    }
    if !on_device {
        // SAFETY: As above. Readahead needs a bdi.
        unsafe {
            sys::ondine_super_set_id(sb);
            to_result(sys::super_setup_bdi(sb))?;
        }
    }

    let (data, parameters) = make(&new)?;
    // Inline data and directory blocks must fit into a page.
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
    // SAFETY: As above. From here on the super block owns the data: the VFS calls
    // `kill_sb`, which frees it, also after a failure below.
    unsafe { (*sb).s_fs_info = info.cast() };

    // INVARIANT: The data was stored just above.
    // SAFETY: As above.
    let ready = unsafe { SuperBlock::<F>::from_raw(sb) };
    let root = ready.inode(F::activate(ready)?)?;
    if !root.is_dir() {
        new.context().error(c"the root inode is not a directory");
        return Err(EINVAL);
    }
    // SAFETY: d_make_root() takes over the reference, also on failure.
    unsafe {
        (*sb).s_root = sys::d_make_root(INode::into_raw(root));
        if (*sb).s_root.is_null() {
            return Err(ENOMEM);
        }
    }
    // SAFETY: The super block is of the type `F`, which outlives it; `kill_sb`
    // drops the entry before the data. Nothing else accesses the field.
    unsafe {
        let directory = FsType::<F>::directory_of(sb);
        (*info).entry = Some(sysfs::Entry::new(directory, ready.id(), ready.data())?);
    }
    Ok(())
}

/// `file_system_type.kill_sb`
///
/// # Safety
///
/// `sb` is of type `F`, complete or not, and has no other users.
pub(super) unsafe extern "C" fn kill_sb<F: FileSystem>(sb: *mut sys::super_block) {
    // SAFETY: By the caller; without data the field is null.
    let info = unsafe { (*sb).s_fs_info }.cast::<Info<F>>();
    if !info.is_null() {
        // The sysfs directory goes first, since its files read the data; this
        // waits for readers. Then the inodes that the data holds, which the VFS
        // would find busy.
        // SAFETY: `fill` stored an `Info<F>`. The VFS calls this without an active
        // reference to the super block, so that no callback with access to the
        // data runs, and eviction has none; sysfs was the only other user. Reads
        // that are in flight do not use the data.
        unsafe {
            (*info).entry = None;
            F::deactivate(&mut (*info).data);
        }
    }
    // Set before the super block is filled, unlike `s_bdev`, so that it tells the
    // two kinds apart after any failure.
    // SAFETY: As above.
    unsafe {
        if sys::ondine_dev_is_anon((*sb).s_dev) {
            sys::kill_anon_super(sb);
        } else {
            sys::kill_block_super(sb);
        }
    }
    if !info.is_null() {
        // SAFETY: `fill` made it with `KBox::into_raw`. Its last users, the
        // inodes, have been evicted.
        drop(unsafe { KBox::from_raw(info) });
    }
}
