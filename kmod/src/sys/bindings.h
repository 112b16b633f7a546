/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Input of bindgen: kernel headers that rust/bindings/bindings_helper.h does not
 * include, our C functions, and constants that bindgen cannot evaluate.
 */
#ifndef ONDINE_BINDINGS_H
#define ONDINE_BINDINGS_H

#include "helpers.h"
#include "../vfs/cache_dir.h"
#include "../vfs/fs_context.h"
#include "../vfs/page_cache.h"

#define ONDINE_CONST(T, X) static const T ONDINE_CONST_##X = X

ONDINE_CONST(unsigned long, SB_RDONLY);
ONDINE_CONST(unsigned long, SB_NOATIME);
ONDINE_CONST(unsigned long, SB_POSIXACL);
ONDINE_CONST(unsigned int, SLAB_RECLAIM_ACCOUNT);
ONDINE_CONST(unsigned int, SLAB_ACCOUNT);
ONDINE_CONST(unsigned int, BLK_OPEN_READ);
ONDINE_CONST(unsigned int, FMODE_READ);
ONDINE_CONST(unsigned int, FMODE_CAN_ODIRECT);
ONDINE_CONST(loff_t, MAX_LFS_FILESIZE);
ONDINE_CONST(gfp_t, GFP_NOFS);
ONDINE_CONST(unsigned int, ACL_TYPE_ACCESS);
ONDINE_CONST(unsigned int, FS_IOC_GETFSLABEL);
ONDINE_CONST(int, IOCB_DIRECT);
ONDINE_CONST(unsigned int, ITER_DEST);
ONDINE_CONST(int, FILEID_INO64_GEN);
ONDINE_CONST(int, FILEID_INO64_GEN_PARENT);
ONDINE_CONST(int, FILEID_INVALID);

ONDINE_CONST(u32, STATX_DIOALIGN);
ONDINE_CONST(u64, STATX_ATTR_COMPRESSED);
ONDINE_CONST(u64, STATX_ATTR_IMMUTABLE);

ONDINE_CONST(unsigned int, FMODE_PWRITE);
ONDINE_CONST(unsigned int, FMODE_RANDOM);
ONDINE_CONST(unsigned int, FMODE_LSEEK);
ONDINE_CONST(unsigned int, ESCAPE_OCTAL);

#endif /* ONDINE_BINDINGS_H */
