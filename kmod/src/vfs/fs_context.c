// SPDX-License-Identifier: GPL-2.0
/*
 * The table of mount options.
 */
#include "fs_context.h"

static const struct fs_parameter_spec parameters[] = {
	fsparam_file_or_string("source",	ONDINE_OPT_SOURCE),
	fsparam_file_or_string("device",	ONDINE_OPT_DEVICE),
	fsparam_flag_no("user_xattr",		ONDINE_OPT_USER_XATTR),
	fsparam_flag_no("acl",			ONDINE_OPT_ACL),
	fsparam_string("cache_strategy",	ONDINE_OPT_CACHE_STRATEGY),
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

void ondine_errorfc(struct fs_context *fc, const char *message)
{
	errorfc(fc, "%s", message);
}
