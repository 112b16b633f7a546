// SPDX-License-Identifier: GPL-2.0
/*
 * Wrappers of inline functions and macros for the Rust side, see helpers.h.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/sched/signal.h>
#include <linux/uuid.h>

#include "helpers.h"

/* --- module parameters and mount options ---------------------------------- */

char *ondine_fstype = "ondine";
module_param_named(fstype, ondine_fstype, charp, 0444);
MODULE_PARM_DESC(fstype, "File system type to register, such as `erofs` on kernels without the C driver");

char *ondine_device = "cachefiles";
module_param_named(device, ondine_device, charp, 0444);
MODULE_PARM_DESC(device, "Name in /dev of the device that on-demand daemons open");

const struct fs_parameter_spec ondine_fs_parameters[] = {
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
	return fs_parse(fc, ondine_fs_parameters, param, result);
}

void ondine_errorfc(struct fs_context *fc, const char *message)
{
	errorfc(fc, "%s", message);
}

/* --- logging --------------------------------------------------------------- */

void ondine_pr_err_ratelimited(const char *device, u64 nid, const char *message,
			       int len)
{
	pr_err_ratelimited("ondine: (device %s): nid %llu: %.*s\n", device, nid, len, message);
}

/* --- super blocks and inodes ------------------------------------------------ */

void *ondine_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache)
{
	return alloc_inode_sb(sb, cache, GFP_KERNEL);
}

bool ondine_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

bool ondine_inode_is_unhashed(struct inode *inode)
{
	return inode_unhashed(inode);
}

void ondine_inode_set_times(struct inode *inode, s64 sec, u32 nsec)
{
	inode_set_mtime(inode, sec, nsec);
	inode_set_ctime(inode, sec, nsec);
	inode_set_atime(inode, sec, nsec);
}

void ondine_inode_set_owner(struct inode *inode, u32 uid, u32 gid)
{
	i_uid_write(inode, uid);
	i_gid_write(inode, gid);
}

void ondine_mapping_set_large_folios(struct address_space *mapping)
{
	mapping_set_large_folios(mapping);
}

bool ondine_mapping_has_large_folios(const struct address_space *mapping)
{
	return mapping_large_folio_support(mapping);
}

void ondine_inode_set_no_acl(struct inode *inode)
{
	cache_no_acl(inode);
}

void ondine_inode_set_link(struct inode *inode, char *link, int len)
{
	inode_set_cached_link(inode, link, len);
}

dev_t ondine_mkdev(u32 major, u32 minor)
{
	return MKDEV(major, minor);
}

bool ondine_dev_is_anon(dev_t dev)
{
	return MAJOR(dev) == 0;
}

void ondine_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len)
{
	super_set_uuid(sb, uuid, len);
}

/* A super block without a device is called after its number, as stat(2) gives it. */
void ondine_super_set_id(struct super_block *sb)
{
	snprintf(sb->s_id, sizeof(sb->s_id), "%u:%u", MAJOR(sb->s_dev), MINOR(sb->s_dev));
}

void ondine_super_set_sysfs_name(struct super_block *sb)
{
	super_set_sysfs_name_id(sb);
}

void ondine_fill_fsid(struct super_block *sb, struct kstatfs *buf)
{
	if (uuid_is_null(&sb->s_uuid))
		buf->f_fsid = u64_to_fsid(huge_encode_dev(sb->s_dev));
	else
		buf->f_fsid = uuid_to_fsid(sb->s_uuid.b);
}

/* --- files -------------------------------------------------------------------- */

struct file *ondine_get_file(struct file *file)
{
	return get_file(file);
}

/* Buffered, however the file was opened: who wants a direct read says so. */
void ondine_init_kiocb(struct kiocb *kiocb, struct file *file)
{
	init_sync_kiocb(kiocb, file);
	kiocb->ki_flags &= ~IOCB_DIRECT;
}

const struct cred *ondine_override_creds(const struct cred *cred)
{
	return override_creds(cred);
}

void ondine_revert_creds(const struct cred *cred)
{
	revert_creds(cred);
}

loff_t ondine_i_size(const struct inode *inode)
{
	return i_size_read(inode);
}

/* --- folios ---------------------------------------------------------------------- */

/* Whether ondine_meta_folio() works: everything but a few special files. */
bool ondine_mapping_can_read(struct address_space *mapping)
{
	return mapping->a_ops->read_folio || shmem_mapping(mapping);
}

/*
 * Pages asked for when one of metadata is missing. Inodes, their inline data and
 * their directories lie together: four pages need a third fewer device reads
 * for a walk than one, and as many instructions.
 */
#define META_PAGES 4

/*
 * One metadata folio, up to date and referenced: from the page cache if it is
 * there, else read together with what readahead finds worth reading.
 */
struct folio *ondine_meta_folio(struct address_space *mapping, pgoff_t index,
				struct file *file, struct file_ra_state *ra)
{
	struct folio *folio;

	if (unlikely(!mapping->a_ops->read_folio))
		return shmem_read_folio_gfp(mapping, index, mapping_gfp_mask(mapping));

	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio)) {
		if (folio_test_uptodate(folio))
			return folio;
		folio_put(folio);
	} else {
		page_cache_sync_readahead(mapping, ra, file, index, META_PAGES);
	}
	return read_mapping_folio(mapping, index, file);
}

/*
 * Has a folio filled, or waits for who is filling it. AOP_TRUNCATED_PAGE: it is
 * not in the mapping any more.
 */
static int fill_folio(struct address_space *mapping, struct folio *folio)
{
	int ret;

	if (folio_test_uptodate(folio))
		return 0;
	ret = folio_lock_killable(folio);
	if (ret)
		return ret;
	if (folio->mapping != mapping || folio_test_uptodate(folio)) {
		ret = folio->mapping == mapping ? 0 : AOP_TRUNCATED_PAGE;
		folio_unlock(folio);
		return ret;
	}
	/* Unlocks the folio, now or later. */
	ret = mapping->a_ops->read_folio(NULL, folio);
	if (!ret)
		ret = folio_wait_locked_killable(folio);
	if (!ret && !folio_test_uptodate(folio))
		ret = -EIO;
	return ret;
}

/*
 * One folio of a mapping that reads by itself, up to date and referenced. As
 * read_mapping_folio(), but who finds it being read by somebody else can be
 * killed too: the bytes may be a daemon's to bring.
 */
struct folio *ondine_read_folio(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio;
	int ret;

	do {
		/* FOR_MMAP: a new one is not locked either. */
		folio = __filemap_get_folio(mapping, index, FGP_CREAT | FGP_FOR_MMAP,
					    mapping_gfp_mask(mapping));
		if (IS_ERR(folio))
			return folio;
		ret = fill_folio(mapping, folio);
		if (!ret) {
			folio_mark_accessed(folio);
			return folio;
		}
		folio_put(folio);
	} while (ret == AOP_TRUNCATED_PAGE);
	return ERR_PTR(ret);
}

/* inode_operations.get_link: page_get_link(), after a wait that can be killed. */
const char *ondine_get_link(struct dentry *dentry, struct inode *inode,
			    struct delayed_call *done)
{
	struct folio *folio;
	const char *link;

	/* Walks under RCU do not wait. */
	if (!dentry)
		return page_get_link(dentry, inode, done);
	folio = ondine_read_folio(inode->i_mapping, 0);
	if (IS_ERR(folio))
		return ERR_CAST(folio);
	/* Who holds the folio finds it. */
	link = page_get_link(dentry, inode, done);
	folio_put(folio);
	return link;
}

/*
 * Copies from a page cache what is there, up to date, of the len bytes at pos.
 * Less than that, 0 too, where there is nothing, or, if the reader goes on
 * reading ahead, where readahead waits to be told. The last byte that was read
 * before is the one at last, if any: its folio has been marked.
 */
static __always_inline size_t copy_cached(struct address_space *mapping, loff_t pos, size_t len,
					  struct iov_iter *iter, bool reads_ahead, loff_t last)
{
	size_t done = 0, part, copied;
	struct folio *folio;
	loff_t left;

	while (done < len) {
		folio = filemap_get_folio(mapping, pos >> PAGE_SHIFT);
		if (IS_ERR(folio))
			break;
		part = 0;
		if (folio_test_uptodate(folio) && !(reads_ahead && folio_test_readahead(folio)) &&
		    !folio_contain_hwpoisoned_page(folio)) {
			/* Read after the flag: what is up to date may have been below it. */
			left = max_t(loff_t, i_size_read(mapping->host) - pos, 0);
			part = min3((loff_t)(len - done), folio_next_pos(folio) - pos, left);
			if (!folio_contains(folio, last >> PAGE_SHIFT))
				folio_mark_accessed(folio);
		}
		if (mapping_writably_mapped(mapping))
			flush_dcache_folio(folio);
		copied = copy_folio_to_iter(folio, offset_in_folio(folio, pos), part, iter);
		folio_put(folio);
		done += copied;
		pos += copied;
		if (copied < part || !part)
			break;
	}
	return done;
}

/*
 * Copies what the page cache of file has; the rest is left to the file's own read.
 *
 * The bytes of a blob do not change, so that a file system has nothing to look
 * up again before its cached pages are used; what it wants to be asked for
 * first has no folio here.
 */
size_t ondine_read_cached(struct file *file, loff_t pos, size_t len, struct iov_iter *iter)
{
	loff_t *prev = &file->f_ra.prev_pos;
	size_t done = copy_cached(file->f_mapping, pos, len, iter, true, *prev - 1);

	if (done)
		*prev = pos + done;
	return done;
}

/* The same of a file of ours, which a read(2) does not read ahead. */
size_t ondine_read_mapped(struct inode *inode, loff_t pos, size_t len, struct iov_iter *iter)
{
	struct address_space *mapping = inode->i_mapping;

	return mapping->nrpages ? copy_cached(mapping, pos, len, iter, false, -1) : 0;
}

/*
 * Drops from a page cache what has been copied to another: of the len bytes at
 * pos the folios that end there. One that is larger than what was copied goes with
 * its last page, so that none stays of which every page has been copied.
 */
void ondine_drop_copied(struct address_space *mapping, loff_t pos, size_t len)
{
	pgoff_t first = DIV_ROUND_UP_ULL(pos, PAGE_SIZE);
	pgoff_t end = (pos + len) >> PAGE_SHIFT;
	struct folio *folio;

	if (first >= end)
		return;
	folio = filemap_get_folio(mapping, end - 1);
	if (!IS_ERR(folio)) {
		if (folio_next_index(folio) > end)
			end = folio->index;
		folio_put(folio);
	}
	folio = filemap_get_folio(mapping, first);
	if (!IS_ERR(folio)) {
		first = folio->index;
		folio_put(folio);
	}
	/* Not invalidate_mapping_pages(): it leaves what was read just now. */
	if (first < end)
		invalidate_inode_pages2_range(mapping, first, end - 1);
}

void ondine_folio_put(struct folio *folio)
{
	folio_put(folio);
}

/* The bytes from file position pos, which is in the folio, to the folio's end. */
const u8 *ondine_folio_bytes(struct folio *folio, loff_t pos, size_t *len)
{
	size_t offset = offset_in_folio(folio, pos);

	*len = folio_size(folio) - offset;
	return folio_address(folio) + offset;
}

loff_t ondine_folio_pos(struct folio *folio)
{
	return folio_pos(folio);
}

size_t ondine_folio_size(struct folio *folio)
{
	return folio_size(folio);
}

struct inode *ondine_folio_inode(struct folio *folio)
{
	return folio->mapping->host;
}

void ondine_folio_zero(struct folio *folio, size_t start, size_t len)
{
	folio_zero_range(folio, start, len);
}

void ondine_bvec_from_folio(struct bio_vec *bvec, struct folio *folio,
			    size_t offset, size_t len)
{
	bvec_set_folio(bvec, folio, len, offset);
}

struct folio *ondine_bvec_folio(const struct bio_vec *bvec, size_t *offset)
{
	struct folio *folio = page_folio(bvec->bv_page);

	*offset = folio_page_idx(folio, bvec->bv_page) * PAGE_SIZE + bvec->bv_offset;
	return folio;
}

unsigned int ondine_readahead_pages(struct readahead_control *rac)
{
	return readahead_count(rac);
}

/* --- iomap, directories, work, ACLs, iterators -------------------------------------- */

int ondine_iomap_next(const struct iomap_iter *iter, struct iomap *iomap,
		      struct iomap *srcmap, iomap_iter_begin_fn begin,
		      iomap_iter_end_fn end)
{
	return iomap_iter_next(iter, iomap, srcmap, begin, end);
}

void ondine_init_work(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

void ondine_queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	queue_work(queue, work);
}

struct workqueue_struct *ondine_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND | WQ_MEM_RECLAIM, 0, name);
}

/* For loops that are as long as an image likes. */
bool ondine_is_killed(void)
{
	cond_resched();
	return fatal_signal_pending(current);
}

struct posix_acl *ondine_acl_from_xattr(const void *value, size_t size)
{
	return posix_acl_from_xattr(&init_user_ns, value, size);
}

size_t ondine_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

void ondine_iov_iter_truncate(struct iov_iter *iter, u64 count)
{
	iov_iter_truncate(iter, count);
}

void ondine_iov_iter_reexpand(struct iov_iter *iter, size_t count)
{
	iov_iter_reexpand(iter, count);
}

bool ondine_capable_admin(void)
{
	return capable(CAP_SYS_ADMIN);
}

struct dentry *ondine_debugfs_create(void *data, const struct debugfs_short_fops *fops)
{
	struct dentry *directory = debugfs_create_dir("ondine", NULL);

	debugfs_create_file("state", 0400, directory, data, fops);
	return directory;
}

void ondine_debugfs_remove(struct dentry *directory)
{
	debugfs_remove(directory);
}
