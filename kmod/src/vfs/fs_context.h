/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The mount options, for fs_context.rs.
 */
#ifndef ONDINE_FS_CONTEXT_H
#define ONDINE_FS_CONTEXT_H

#include <linux/fs_context.h>
#include <linux/fs_parser.h>

/* Return values of ondine_fs_parse(). */
enum ondine_option {
	ONDINE_OPT_SOURCE,
	ONDINE_OPT_DEVICE,
	ONDINE_OPT_USER_XATTR,
	ONDINE_OPT_ACL,
	ONDINE_OPT_CACHE_STRATEGY,
	ONDINE_OPT_DIRECTIO,
	ONDINE_OPT_FSOFFSET,
	ONDINE_OPT_FSID,
	ONDINE_OPT_DOMAIN_ID,
	ONDINE_OPT_HARD,
	ONDINE_OPT_SOFT,
	ONDINE_OPT_TIMEOUT,
};

int ondine_fs_parse(struct fs_context *fc, struct fs_parameter *param,
		    struct fs_parse_result *result);
int ondine_fs_set_source(struct fs_context *fc, struct file *file);
void ondine_errorfc(struct fs_context *fc, const char *message);
void ondine_errorfc_file(struct fs_context *fc, const char *file, const char *reason, int len,
			 int error);

#endif /* ONDINE_FS_CONTEXT_H */
