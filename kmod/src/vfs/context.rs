// SPDX-License-Identifier: GPL-2.0

//! Mount contexts: from `fsconfig(2)` and `mount(2)` options to a super block.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use super::{backing::Backing, super_block, FileSystem, Registration, SuperBlock};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
    str::CString,
};

/// One parsed mount option.
pub(crate) enum MountOption {
    /// `device=PATH`, or a descriptor given by `fsconfig(2)`.
    Device(Source),
    /// `user_xattr`, `nouser_xattr`.
    UserXattr(bool),
    /// `acl`, `noacl`.
    Acl(bool),
    /// `directio`, `nodirectio`.
    DirectIo(bool),
    /// `fsoffset=BYTES`.
    Offset(u64),
    /// `fsid=KEY`: the image is an object of the cache.
    FsId(CString),
    /// `domain_id=KEY`: its objects are shared with others of that domain.
    DomainId(CString),
    /// `hard`, `soft`: whether to wait for a daemon if there is none.
    Hard(bool),
    /// `timeout=SECONDS` that a read waits at most; 0 for no limit.
    Timeout(u32),
}

/// Where a blob comes from.
pub(crate) enum Source {
    /// A path to look up when the file system is mounted.
    Path(CString),
    /// A file that is open already.
    Open(Backing),
    /// The block device that the super block was made for.
    SuperBlockDevice,
    /// The cache.
    Cache,
}

/// What the context carries between the calls.
struct Private<F: FileSystem> {
    options: F::Options,
    /// The source, where it was given as a descriptor.
    source: Option<Backing>,
}

/// A mount context, for messages to the one who mounts.
pub(crate) struct MountContext<'a>(*mut sys::fs_context, PhantomData<&'a ()>);

impl MountContext<'_> {
    /// Adds an error message to the context's log (and to dmesg, for the old
    /// `mount(2)`).
    pub(crate) fn error(&self, message: &CStr) {
        // SAFETY: The context is valid while `self` is; the message is
        // NUL-terminated and copied.
        unsafe { sys::ondine_errorfc(self.0, message.as_char_ptr()) };
    }

    /// # Safety
    ///
    /// `fc` is valid for `'a`.
    pub(super) unsafe fn from_raw(fc: *mut sys::fs_context) -> Self {
        Self(fc, PhantomData)
    }
}

struct Table<F>(PhantomData<F>);

impl<F: FileSystem> Table<F> {
    const OPS: &'static sys::fs_context_operations = &sys::fs_context_operations {
        free: Some(free::<F>),
        dup: None,
        parse_param: Some(parse_param::<F>),
        parse_monolithic: None,
        get_tree: Some(get_tree::<F>),
        reconfigure: Some(reconfigure::<F>),
    };
}

/// `file_system_type.init_fs_context`
///
/// # Safety
///
/// `fc` is a new context for a file system of type `F`.
pub(super) unsafe extern "C" fn init_fs_context<F: FileSystem>(
    fc: *mut kernel::bindings::fs_context,
) -> c_int {
    let fc = fc.cast::<sys::fs_context>();
    from_result(|| {
        // SAFETY: The VFS gives a context of the type that this is a callback of.
        if !unsafe { Registration::<F>::is_open((*fc).fs_type) } {
            return Err(ENODEV);
        }
        // SAFETY: A context for reconfiguration holds the root of a mounted
        // super block of its type, any other holds none.
        let options = unsafe {
            match (*fc).root.as_ref() {
                Some(root) => F::options(SuperBlock::<F>::from_raw(root.d_sb)),
                None => F::Options::default(),
            }
        };
        let source = None;
        let private = KBox::new(Private::<F> { options, source }, GFP_KERNEL)?;
        // SAFETY: The VFS gives a valid context that nobody else uses yet.
        unsafe {
            (*fc).fs_private = KBox::into_raw(private).cast();
            (*fc).ops = Table::<F>::OPS;
        }
        Ok(0)
    })
}

/// # Safety
///
/// `fc` went through [`init_fs_context`] for the same `F`, is not freed, and
/// is not used by anyone else during `'a`.
unsafe fn private<'a, F: FileSystem>(fc: *mut sys::fs_context) -> &'a mut Private<F> {
    // SAFETY: By the caller; `init_fs_context` put a `Private<F>` there.
    unsafe { &mut *(*fc).fs_private.cast::<Private<F>>() }
}

/// `fs_context_operations.free`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`, and is not used any more.
unsafe extern "C" fn free<F: FileSystem>(fc: *mut sys::fs_context) {
    // SAFETY: The VFS calls this once at most, as the last user of the context.
    let private = unsafe { (*fc).fs_private }.cast::<Private<F>>();
    if !private.is_null() {
        // SAFETY: `init_fs_context` made it with `KBox::into_raw`.
        drop(unsafe { KBox::from_raw(private) });
    }
}

/// `fs_context_operations.parse_param`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`; `param` is valid; only this
/// call uses either.
unsafe extern "C" fn parse_param<F: FileSystem>(
    fc: *mut sys::fs_context,
    param: *mut sys::fs_parameter,
) -> c_int {
    from_result(|| {
        let mut result = sys::fs_parse_result::default();
        // SAFETY: Context and parameter are valid by the VFS' contract.
        let option = unsafe { sys::ondine_fs_parse(fc, param, &raw mut result) };
        to_result(option)?;
        // SAFETY: The VFS serialises calls on one context (`uapi_mutex`).
        let private = unsafe { private::<F>(fc) };
        let option = match option as u32 {
            sys::ondine_option_ONDINE_OPT_SOURCE => {
                // SAFETY: `param` is valid, and fs_parse() accepted its type.
                match unsafe { take_source(param) }? {
                    Source::Open(file) => private.source = Some(file),
                    _ => {
                        // SAFETY: Valid by the VFS' contract; takes the string.
                        return Ok(unsafe { sys::vfs_parse_fs_param_source(fc, param) });
                    }
                }
                return Ok(0);
            }
            sys::ondine_option_ONDINE_OPT_DEVICE => {
                // SAFETY: As for the source.
                MountOption::Device(unsafe { take_source(param) }?)
            }
            sys::ondine_option_ONDINE_OPT_USER_XATTR => MountOption::UserXattr(!result.negated),
            sys::ondine_option_ONDINE_OPT_ACL => MountOption::Acl(!result.negated),
            sys::ondine_option_ONDINE_OPT_DIRECTIO => MountOption::DirectIo(!result.negated),
            sys::ondine_option_ONDINE_OPT_FSOFFSET => {
                // SAFETY: A `u64` specification fills this arm of the union.
                MountOption::Offset(unsafe { *result.__bindgen_anon_1.uint_64.as_ref() })
            }
            sys::ondine_option_ONDINE_OPT_FSID => {
                // SAFETY: As for the source.
                MountOption::FsId(unsafe { take_string(param) }?)
            }
            sys::ondine_option_ONDINE_OPT_DOMAIN_ID => {
                // SAFETY: As for the source.
                MountOption::DomainId(unsafe { take_string(param) }?)
            }
            sys::ondine_option_ONDINE_OPT_HARD => MountOption::Hard(true),
            sys::ondine_option_ONDINE_OPT_SOFT => MountOption::Hard(false),
            sys::ondine_option_ONDINE_OPT_TIMEOUT => {
                // SAFETY: A `u32` specification fills this arm of the union.
                MountOption::Timeout(unsafe { *result.__bindgen_anon_1.uint_32.as_ref() })
            }
            // It tunes decompression, which there is none of: accepted, so that
            // existing mount commands work, and without effect.
            sys::ondine_option_ONDINE_OPT_CACHE_STRATEGY => return Ok(0),
            _ => return Err(EINVAL),
        };
        F::parse(&mut private.options, option)?;
        Ok(0)
    })
}

/// Takes a `source` or `device` value out of a parameter.
///
/// # Safety
///
/// `param` is valid, of type string or file, and used by nobody else.
unsafe fn take_source(param: *mut sys::fs_parameter) -> Result<Source> {
    // SAFETY: By the caller.
    let param = unsafe { &mut *param };
    if param.type_() == sys::fs_value_type_fs_value_is_file {
        // SAFETY: The type says which arm of the union is filled; the
        // parameter owns a reference, which moves to us with the null write.
        let file = unsafe {
            let file = param.__bindgen_anon_1.file;
            param.__bindgen_anon_1.file = ptr::null_mut();
            Backing::from_owned(file)
        };
        return Ok(Source::Open(file?));
    }
    // SAFETY: As above: it is of type string.
    Ok(Source::Path(unsafe { take_string(param) }?))
}

/// Copies a string value out of a parameter.
///
/// # Safety
///
/// `param` is valid, and of type string.
unsafe fn take_string(param: *const sys::fs_parameter) -> Result<CString> {
    // SAFETY: By the caller the string is the arm of the union that is filled,
    // and NUL-terminated.
    let string = unsafe { CStr::from_char_ptr((*param).__bindgen_anon_1.string) };
    Ok(CString::try_from(string)?)
}

/// `fs_context_operations.get_tree`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`; only this call uses it.
unsafe extern "C" fn get_tree<F: FileSystem>(fc: *mut sys::fs_context) -> c_int {
    // Read-only from the start: a device is then not opened for writing.
    // SAFETY: The VFS serialises calls on one context.
    unsafe { (*fc).sb_flags |= sys::ONDINE_CONST_SB_RDONLY as u32 };
    // SAFETY: The VFS serialises calls on one context.
    let private = unsafe { private::<F>(fc) };
    if F::is_cached(&private.options) {
        // SAFETY: As above; the callback gets the same context.
        return unsafe { sys::get_tree_nodev(fc, Some(fill_from_cache::<F>)) };
    }
    if private.source.is_none() {
        // SAFETY: As above; the callback gets the same context.
        let ret = unsafe {
            sys::get_tree_bdev_flags(
                fc,
                Some(fill_from_device::<F>),
                sys::GET_TREE_BDEV_QUIET_LOOKUP,
            )
        };
        if ret != ENOTBLK.to_errno() {
            return ret;
        }
        // SAFETY: get_tree_bdev_flags() says EINVAL without a source, so that
        // there is one here, NUL-terminated.
        let path = unsafe { CStr::from_char_ptr((*fc).source) };
        match Backing::open(path) {
            Ok(file) => private.source = Some(file),
            Err(error) => return error.to_errno(),
        }
    }
    // SAFETY: As above.
    unsafe { sys::get_tree_nodev(fc, Some(fill_from_file::<F>)) }
}

/// Callback of get_tree_bdev_flags().
///
/// # Safety
///
/// `sb` is new, of type `F`, with its device open; `fc` is its context.
unsafe extern "C" fn fill_from_device<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
) -> c_int {
    // SAFETY: get_tree_bdev() gives a new super block with its device open.
    unsafe { fill(sb, fc, |_: &mut Private<F>| Ok(Source::SuperBlockDevice)) }
}

/// Callback of get_tree_nodev().
///
/// # Safety
///
/// `sb` is new and of type `F`; `fc` is its context.
unsafe extern "C" fn fill_from_file<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
) -> c_int {
    let source = |private: &mut Private<F>| private.source.take().map(Source::Open).ok_or(EINVAL);
    // SAFETY: get_tree_nodev() gives a new super block.
    unsafe { fill(sb, fc, source) }
}

/// Callback of get_tree_nodev(), for an image in the cache.
///
/// # Safety
///
/// As for [`fill_from_file`].
unsafe extern "C" fn fill_from_cache<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
) -> c_int {
    // SAFETY: get_tree_nodev() gives a new super block.
    unsafe { fill(sb, fc, |_: &mut Private<F>| Ok(Source::Cache)) }
}

/// # Safety
///
/// `sb` is a new super block of type `F`, locked by the caller; `fc` is the
/// context that it is made from.
unsafe fn fill<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    source: impl FnOnce(&mut Private<F>) -> Result<Source>,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS serialises calls on one context.
        let private = unsafe { private::<F>(fc) };
        let source = source(private)?;
        let options = core::mem::take(&mut private.options);
        // SAFETY: By the caller.
        unsafe { super_block::fill::<F>(sb, fc, options, source) }?;
        Ok(0)
    })
}

/// `fs_context_operations.reconfigure`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`, and holds the root of a super
/// block of that type.
unsafe extern "C" fn reconfigure<F: FileSystem>(fc: *mut sys::fs_context) -> c_int {
    from_result(|| {
        // SAFETY: A context for reconfiguration holds the root of a mounted
        // super block of its type.
        let sb = unsafe { SuperBlock::<F>::from_raw((*(*fc).root).d_sb) };
        // SAFETY: The VFS serialises calls on one context.
        let private = unsafe { private::<F>(fc) };
        let acl = F::reconfigure(sb, core::mem::take(&mut private.options))?;
        let acl_flag = sys::ONDINE_CONST_SB_POSIXACL as u32;
        // Read-only it is, whatever was asked for; the VFS reports a request
        // for writing by itself (EROFS on the first write).
        // SAFETY: As above.
        unsafe {
            (*fc).sb_flags |= sys::ONDINE_CONST_SB_RDONLY as u32;
            (*fc).sb_flags &= !acl_flag;
            if acl {
                (*fc).sb_flags |= acl_flag;
            }
            (*fc).sb_flags_mask |= acl_flag;
        }
        Ok(0)
    })
}
