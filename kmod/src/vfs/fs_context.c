// SPDX-License-Identifier: GPL-2.0
/*
 * The table of mount options.
 */
#include <linux/fs.h>
#include <linux/slab.h>

#include "fs_context.h"

/* Those of the C driver, which has decompression to tune. */
static const struct constant_table cache_strategies[] = {
	{ "disabled",	0 },
	{ "readahead",	1 },
	{ "readaround",	2 },
	{}
};

static const struct fs_parameter_spec parameters[] = {
	fsparam_file_or_string("source",	ONDINE_OPT_SOURCE),
	fsparam_file_or_string("device",	ONDINE_OPT_DEVICE),
	fsparam_flag_no("user_xattr",		ONDINE_OPT_USER_XATTR),
	fsparam_flag_no("acl",			ONDINE_OPT_ACL),
	fsparam_enum("cache_strategy",		ONDINE_OPT_CACHE_STRATEGY, cache_strategies),
	fsparam_flag_no("directio",		ONDINE_OPT_DIRECTIO),
	fsparam_u64("fsoffset",			ONDINE_OPT_FSOFFSET),
	fsparam_string("fsid",			ONDINE_OPT_FSID),
	fsparam_string("domain_id",		ONDINE_OPT_DOMAIN_ID),
	fsparam_flag("hard",			ONDINE_OPT_HARD),
	fsparam_flag("soft",			ONDINE_OPT_SOFT),
	fsparam_u32("timeout",			ONDINE_OPT_TIMEOUT),
	{}
};

int ondine_fs_parse(struct fs_context *fc, struct fs_parameter *param,
		    struct fs_parse_result *result)
{
	return fs_parse(fc, parameters, param, result);
}

/* Makes the path of an open file the source of @fc, as the mount table shows it. */
int ondine_fs_set_source(struct fs_context *fc, struct file *file)
{
	char *buffer, *path;

	if (fc->source)
		return invalf(fc, "source= is given more than once");
	buffer = kmalloc(PATH_MAX, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	path = file_path(file, buffer, PATH_MAX);
	if (!IS_ERR(path)) {
		fc->source = kstrdup(path, GFP_KERNEL);
		if (!fc->source)
			path = ERR_PTR(-ENOMEM);
	}
	kfree(buffer);
	return PTR_ERR_OR_ZERO(path);
}

void ondine_errorfc(struct fs_context *fc, const char *message)
{
	errorfc(fc, "%s", message);
}

/* As ondine_errorfc(), about a file: @reason has @len bytes. */
void ondine_errorfc_file(struct fs_context *fc, const char *file, const char *reason, int len,
			 int error)
{
	errorfc(fc, "%s: %.*s (error %d)", file, len, reason, error);
}
