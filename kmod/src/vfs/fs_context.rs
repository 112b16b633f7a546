// SPDX-License-Identifier: GPL-2.0

//! Mount contexts: parsing options, and making a super block from them.
//!
//! C headers: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h),
//! [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h)

use super::{
    backing::Backing,
    fill_super,
    fs_type::FsType,
    mount_source::{MountContext, MountOption, MountSource},
    FileSystem, SuperBlock, SuperParameters,
};
use crate::sys;
use core::{marker::PhantomData, ptr};
use kernel::{
    error::{from_result, to_result},
    prelude::*,
    str::CString,
};

/// State of a context between calls: `fs_private`.
struct Private<F: FileSystem> {
    options: F::Options,
    /// The source, if it was passed as a descriptor.
    source: Option<Backing>,
    /// The data of a super block that is about to be made for an image in the cache.
    prepared: Option<(KBox<F::Data>, SuperParameters)>,
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
        // SAFETY: By the caller; `fs_type` is the field of an `FsType<F>`, to
        // which the context holds a reference (of the module).
        if !unsafe { FsType::<F>::is_open((*fc).fs_type) } {
            return Err(ENODEV);
        }
        // SAFETY: A context for reconfiguration holds the root of a mounted super
        // block of its type; any other has a null `root`.
        let options = unsafe {
            match (*fc).root.as_ref() {
                Some(root) => F::options(SuperBlock::<F>::from_raw(root.d_sb)),
                None => F::Options::default(),
            }
        };
        let private = Private::<F> {
            options,
            source: None,
            prepared: None,
        };
        let private = KBox::new(private, GFP_KERNEL)?;
        // SAFETY: By the caller; a new context is not in use elsewhere.
        unsafe {
            (*fc).fs_private = KBox::into_raw(private).cast();
            (*fc).ops = Table::<F>::OPS;
        }
        Ok(0)
    })
}

/// # Safety
///
/// `fc` was initialised by [`init_fs_context`] for the same `F` and is not freed;
/// its private data is not accessed otherwise during `'a`.
unsafe fn private<'a, F: FileSystem>(fc: *mut sys::fs_context) -> &'a mut Private<F> {
    // SAFETY: By the caller; `init_fs_context` stored a `Private<F>`.
    unsafe { &mut *(*fc).fs_private.cast::<Private<F>>() }
}

/// `fs_context_operations.free`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`, and is not used any more.
unsafe extern "C" fn free<F: FileSystem>(fc: *mut sys::fs_context) {
    // SAFETY: By the caller.
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
        // SAFETY: By the caller.
        let option = unsafe { sys::ondine_fs_parse(fc, param, &raw mut result) };
        to_result(option)?;
        // SAFETY: The VFS serialises calls on one context (`uapi_mutex`).
        let private = unsafe { private::<F>(fc) };
        let option = match option as u32 {
            sys::ondine_option_ONDINE_OPT_SOURCE => {
                // SAFETY: `param` is valid, and fs_parse() accepted its type.
                match unsafe { take_source(fc, param) }? {
                    MountSource::Open(file) => {
                        // SAFETY: By the caller; the file is open.
                        to_result(unsafe { sys::ondine_fs_set_source(fc, file.as_raw()) })?;
                        private.source = Some(file);
                    }
                    _ => {
                        // SAFETY: By the caller; takes over the string, and fails
                        // if there is a source already.
                        return Ok(unsafe { sys::vfs_parse_fs_param_source(fc, param) });
                    }
                }
                return Ok(0);
            }
            sys::ondine_option_ONDINE_OPT_DEVICE => {
                // SAFETY: As for the source.
                MountOption::Device(unsafe { take_source(fc, param) }?)
            }
            sys::ondine_option_ONDINE_OPT_USER_XATTR => MountOption::UserXattr(!result.negated),
            sys::ondine_option_ONDINE_OPT_ACL => MountOption::Acl(!result.negated),
            sys::ondine_option_ONDINE_OPT_DIRECTIO => MountOption::DirectIo(!result.negated),
            sys::ondine_option_ONDINE_OPT_FSOFFSET => {
                // SAFETY: fs_parse() sets this field of the union for a `u64`
                // option.
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
                // SAFETY: fs_parse() sets this field of the union for a `u32`
                // option.
                MountOption::Timeout(unsafe { *result.__bindgen_anon_1.uint_32.as_ref() })
            }
            // Accepted for compatibility and ignored: there is no decompression
            // to tune.
            sys::ondine_option_ONDINE_OPT_CACHE_STRATEGY => return Ok(0),
            _ => return Err(EINVAL),
        };
        F::parse(&mut private.options, option)?;
        Ok(0)
    })
}

/// Takes the value of `source` or `device` out of a parameter.
///
/// # Safety
///
/// `fc` is valid; `param` is valid, of type string or file, and used by this call
/// only.
unsafe fn take_source(
    fc: *mut sys::fs_context,
    param: *mut sys::fs_parameter,
) -> Result<MountSource> {
    // SAFETY: By the caller.
    let param = unsafe { &mut *param };
    if param.type_() == sys::fs_value_type_fs_value_is_file {
        // SAFETY: By its type, this field of the union is set. The parameter owns
        // a reference, which is ours once the field is null. The context is valid
        // by the caller.
        let (file, context) = unsafe {
            let file = param.__bindgen_anon_1.file;
            param.__bindgen_anon_1.file = ptr::null_mut();
            (Backing::from_owned(file), MountContext::from_raw(fc))
        };
        let file = file.map_err(|unfit| context.refuse(c"the descriptor", &unfit))?;
        return Ok(MountSource::Open(file));
    }
    // SAFETY: By the caller it is of type string otherwise.
    Ok(MountSource::Path(unsafe { take_string(param) }?))
}

/// Copies a string value out of a parameter.
///
/// # Safety
///
/// `param` is valid, and of type string.
unsafe fn take_string(param: *const sys::fs_parameter) -> Result<CString> {
    // SAFETY: By the caller this field of the union is set, to a NUL-terminated
    // string.
    let string = unsafe { CStr::from_char_ptr((*param).__bindgen_anon_1.string) };
    Ok(CString::try_from(string)?)
}

/// `fs_context_operations.get_tree`
///
/// # Safety
///
/// `fc` went through [`init_fs_context`] for `F`; only this call uses it.
unsafe extern "C" fn get_tree<F: FileSystem>(fc: *mut sys::fs_context) -> c_int {
    // Set before a device is opened, so that it is not opened for writing.
    // SAFETY: The VFS serialises calls on one context.
    unsafe { (*fc).sb_flags |= sys::ONDINE_CONST_SB_RDONLY as u32 };
    // SAFETY: The VFS serialises calls on one context; the result is not used
    // beyond this block, before a callback below makes another.
    let (is_cached, has_source) = unsafe {
        let private = private::<F>(fc);
        (F::is_cached(&private.options), private.source.is_some())
    };
    if is_cached {
        return from_result(|| {
            // SAFETY: As above; the type is the field of an `FsType<F>`, to which the
            // context holds a reference (of the module).
            let (private, context, shared) = unsafe {
                let shared = FsType::<F>::shared_of((*fc).fs_type);
                (private::<F>(fc), MountContext::from_raw(fc), shared)
            };
            let options = core::mem::take(&mut private.options);
            private.prepared = Some(F::prepare(&context, shared, options)?);
            // SAFETY: As above; the callback gets the same context, and `private` is
            // not used any more.
            Ok(unsafe { sys::get_tree_nodev(fc, Some(fill_prepared::<F>)) })
        });
    }
    if !has_source {
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
        // SAFETY: get_tree_bdev_flags() fails with EINVAL without a source, so
        // that there is one here, NUL-terminated; the context is valid.
        let (path, context) = unsafe {
            let path = CStr::from_char_ptr((*fc).source);
            (path, MountContext::from_raw(fc))
        };
        match Backing::open(path) {
            // SAFETY: As above: the callback has returned.
            Ok(file) => unsafe { private::<F>(fc) }.source = Some(file),
            Err(unfit) => return context.refuse(path, &unfit).to_errno(),
        }
    }
    // SAFETY: As above; the callback gets the same context.
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
    // SAFETY: By the caller.
    unsafe { fill::<F>(sb, fc, |_| Ok(MountSource::SuperBlockDevice)) }
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
    let source =
        |private: &mut Private<F>| private.source.take().map(MountSource::Open).ok_or(EINVAL);
    // SAFETY: By the caller.
    unsafe { fill::<F>(sb, fc, source) }
}

/// Callback of get_tree_nodev(), for an image in the cache.
///
/// # Safety
///
/// As for [`fill_from_file`].
unsafe extern "C" fn fill_prepared<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS serialises calls on one context.
        let prepared = unsafe { private::<F>(fc) }.prepared.take();
        // SAFETY: By the caller.
        unsafe { fill_super::fill::<F>(sb, fc, |_| prepared.ok_or(EINVAL)) }?;
        Ok(0)
    })
}

/// # Safety
///
/// `sb` is a new super block of type `F`, locked by the caller; `fc` is its
/// context.
unsafe fn fill<F: FileSystem>(
    sb: *mut sys::super_block,
    fc: *mut sys::fs_context,
    source: impl FnOnce(&mut Private<F>) -> Result<MountSource>,
) -> c_int {
    from_result(|| {
        // SAFETY: The VFS serialises calls on one context.
        let private = unsafe { private::<F>(fc) };
        let source = source(private)?;
        let options = core::mem::take(&mut private.options);
        // SAFETY: By the caller.
        unsafe { fill_super::fill::<F>(sb, fc, |new| F::fill(new, options, source)) }?;
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
        // SAFETY: By the caller; a mounted super block has its data.
        let sb = unsafe { SuperBlock::<F>::from_raw((*(*fc).root).d_sb) };
        // SAFETY: The VFS serialises calls on one context.
        let private = unsafe { private::<F>(fc) };
        // SAFETY: The context is valid during this call.
        let context = unsafe { MountContext::from_raw(fc) };
        let acl = F::reconfigure(sb, core::mem::take(&mut private.options), &context)?;
        let acl_flag = sys::ONDINE_CONST_SB_POSIXACL as u32;
        // Stay read-only, whatever flags the remount has: it succeeds, and
        // writing fails with EROFS.
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
