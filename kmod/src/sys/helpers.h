/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Wrappers of inline functions, macros and functions that depend on the kernel
 * configuration, none of which Rust can call. They contain no policy.
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
#include <linux/filelock.h>
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
#include <linux/suspend.h>
#include <linux/sysfs.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <linux/xattr.h>

/* Events of ondine_trace(). */
enum ondine_event {
	ONDINE_EVENT_SUBMIT,
	ONDINE_EVENT_DELIVER,
	ONDINE_EVENT_FILL,
	ONDINE_EVENT_COMPLETE,
	ONDINE_EVENT_CANCEL,
};

extern char *ondine_fstype;
extern char *ondine_device;

void ondine_pr_err_ratelimited(const char *device, u64 nid, const char *message,
			       int len);

void ondine_log_refusal(const char *name, int name_len, const char *reason, int len, int error);
void ondine_log_cut(const struct inode *inode);

void *ondine_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache);
bool ondine_inode_is_new(struct inode *inode);
bool ondine_inode_is_unhashed(struct inode *inode);
void ondine_inode_set_times(struct inode *inode, s64 sec, u32 nsec);
void ondine_inode_set_owner(struct inode *inode, u32 uid, u32 gid);
void ondine_mapping_set_large_folios(struct address_space *mapping);
bool ondine_mapping_has_large_folios(const struct address_space *mapping);
void ondine_stat_dio(struct kstat *stat, struct block_device *bdev);
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
const struct cred *ondine_get_current_cred(void);
void ondine_put_cred(const struct cred *cred);
int ondine_setlease(struct file *file, int kind, struct file_lease **lease, void **priv);
loff_t ondine_i_size(const struct inode *inode);

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

struct ondine_timer {
	struct delayed_work work;
	bool (*expired)(void *data);
	void *data;
};

void ondine_timer_init(struct ondine_timer *timer, bool (*expired)(void *), void *data);
void ondine_timer_start(struct ondine_timer *timer);
void ondine_timer_stop(struct ondine_timer *timer);

struct ondine_suspend {
	struct notifier_block block;
	void (*suspend)(void *data, bool begins);
	void *data;
};

int ondine_suspend_register(struct ondine_suspend *notifier,
			    void (*suspend)(void *, bool), void *data);
void ondine_suspend_unregister(struct ondine_suspend *notifier);

void ondine_init_waitqueue(struct wait_queue_head *queue);
void ondine_init_rwsem(struct rw_semaphore *sem);
void ondine_wake_up_all(struct wait_queue_head *queue);
long ondine_wait_killable(struct wait_queue_head *queue, bool (*done)(void *), void *data,
			  unsigned long msecs);

#endif /* ONDINE_HELPERS_H */
