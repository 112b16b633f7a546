/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Wrappers of what Rust cannot call: inline functions, macros, and what
 * depends on the configuration. Each does one thing and decides nothing.
 */
#ifndef ONDINE_HELPERS_H
#define ONDINE_HELPERS_H

#include <linux/anon_inodes.h>
#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/cred.h>
#include <linux/debugfs.h>
#include <linux/exportfs.h>
#include <linux/fiemap.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/kobject.h>
#include <linux/miscdevice.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/seq_file.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/string_helpers.h>
#include <linux/sysfs.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <linux/xattr.h>

/* Numbers that fs_parse() answers for ondine_fs_parameters. */
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

/* What ondine_trace() tells. */
enum ondine_event {
	ONDINE_EVENT_SUBMIT,
	ONDINE_EVENT_DELIVER,
	ONDINE_EVENT_COMPLETE,
	ONDINE_EVENT_CANCEL,
};

extern char *ondine_fstype;
extern char *ondine_device;
extern const struct fs_parameter_spec ondine_fs_parameters[];

int ondine_fs_parse(struct fs_context *fc, struct fs_parameter *param,
		    struct fs_parse_result *result);
void ondine_errorfc(struct fs_context *fc, const char *message);
void ondine_pr_err_ratelimited(const char *device, u64 nid, const char *message,
			       int len);

void *ondine_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache);
bool ondine_inode_is_new(struct inode *inode);
bool ondine_inode_is_unhashed(struct inode *inode);
void ondine_inode_set_times(struct inode *inode, s64 sec, u32 nsec);
void ondine_inode_set_owner(struct inode *inode, u32 uid, u32 gid);
void ondine_mapping_set_large_folios(struct address_space *mapping);
bool ondine_mapping_has_large_folios(const struct address_space *mapping);
void ondine_inode_set_no_acl(struct inode *inode);
void ondine_inode_set_link(struct inode *inode, char *link, int len);
dev_t ondine_mkdev(u32 major, u32 minor);
bool ondine_dev_is_anon(dev_t dev);
void ondine_super_set_uuid(struct super_block *sb, const u8 *uuid, unsigned int len);
void ondine_super_set_id(struct super_block *sb);
void ondine_super_set_sysfs_name(struct super_block *sb);
void ondine_fill_fsid(struct super_block *sb, struct kstatfs *buf);

struct file *ondine_get_file(struct file *file);
void ondine_init_kiocb(struct kiocb *kiocb, struct file *file);
const struct cred *ondine_override_creds(const struct cred *cred);
void ondine_revert_creds(const struct cred *cred);
loff_t ondine_i_size(const struct inode *inode);

bool ondine_mapping_can_read(struct address_space *mapping);
struct folio *ondine_meta_folio(struct address_space *mapping, pgoff_t index,
				struct file *file, struct file_ra_state *ra);
struct folio *ondine_read_folio(struct address_space *mapping, pgoff_t index);
const char *ondine_get_link(struct dentry *dentry, struct inode *inode,
			    struct delayed_call *done);
size_t ondine_read_cached(struct file *file, loff_t pos, size_t len, struct iov_iter *iter);
size_t ondine_read_mapped(struct inode *inode, loff_t pos, size_t len, struct iov_iter *iter);
void ondine_drop_copied(struct address_space *mapping, loff_t pos, size_t len);
void ondine_folio_put(struct folio *folio);
const u8 *ondine_folio_bytes(struct folio *folio, loff_t pos, size_t *len);
loff_t ondine_folio_pos(struct folio *folio);
size_t ondine_folio_size(struct folio *folio);
struct inode *ondine_folio_inode(struct folio *folio);
void ondine_folio_zero(struct folio *folio, size_t start, size_t len);
void ondine_bvec_from_folio(struct bio_vec *bvec, struct folio *folio,
			    size_t offset, size_t len);
struct folio *ondine_bvec_folio(const struct bio_vec *bvec, size_t *offset);
unsigned int ondine_readahead_pages(struct readahead_control *rac);

int ondine_iomap_next(const struct iomap_iter *iter, struct iomap *iomap,
		      struct iomap *srcmap, iomap_iter_begin_fn begin,
		      iomap_iter_end_fn end);
bool ondine_is_killed(void);
void ondine_init_work(struct work_struct *work, work_func_t func);
void ondine_queue_work(struct workqueue_struct *queue, struct work_struct *work);
struct workqueue_struct *ondine_alloc_workqueue(const char *name);
struct posix_acl *ondine_acl_from_xattr(const void *value, size_t size);
size_t ondine_iov_iter_count(const struct iov_iter *iter);
void ondine_iov_iter_truncate(struct iov_iter *iter, u64 count);
void ondine_iov_iter_reexpand(struct iov_iter *iter, size_t count);
bool ondine_capable_admin(void);

struct dentry *ondine_debugfs_create(void *data, const struct debugfs_short_fops *fops);
void ondine_debugfs_remove(struct dentry *directory);

void ondine_trace(enum ondine_event event, const char *volume, const char *cookie, u64 first,
		  u64 count, int result);

int ondine_store_check(struct file *dir);
int ondine_store_probe(struct file *dir);
int ondine_store_room(struct file *dir, u64 *blocks, u64 *files);
int ondine_store_make_dir(struct file *dir, const char *name);
struct file *ondine_store_open(struct file *dir, const char *const *names, unsigned int count);
ssize_t ondine_store_write(struct file *file, struct iov_iter *iter, loff_t pos);
bool ondine_store_is_in(struct file *file, struct file *dir);
bool ondine_store_is_below(struct file *file, struct file *dir);
int ondine_store_remove(struct file *dir, struct file *file);
void ondine_store_forget(struct file *file);
bool ondine_store_is_cached(struct file *file);
int ondine_store_resize(struct file *file, loff_t size);
ssize_t ondine_store_get_xattr(struct file *file, const char *name, void *value, size_t size);
int ondine_store_set_xattr(struct file *file, const char *name, const void *value, size_t size);
const struct cred *ondine_get_current_cred(void);
void ondine_put_cred(const struct cred *cred);

struct ondine_ticker {
	struct delayed_work work;
	bool (*tick)(void *data);
	void *data;
};

void ondine_ticker_init(struct ondine_ticker *ticker, bool (*tick)(void *), void *data);
void ondine_ticker_start(struct ondine_ticker *ticker);
void ondine_ticker_stop(struct ondine_ticker *ticker);

void ondine_init_waitqueue(struct wait_queue_head *queue);
void ondine_wake_up_all(struct wait_queue_head *queue);
long ondine_wait_killable(struct wait_queue_head *queue, bool (*done)(void *), void *data,
			  unsigned long msecs);

#endif /* ONDINE_HELPERS_H */
