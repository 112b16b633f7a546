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

/* --- module parameters ------------------------------------------------------ */

char *ondine_fstype = "ondine";
module_param_named(fstype, ondine_fstype, charp, 0444);
MODULE_PARM_DESC(fstype, "File system type to register, such as `erofs` on kernels without the C driver");

char *ondine_device = "cachefiles";
module_param_named(device, ondine_device, charp, 0444);
MODULE_PARM_DESC(device, "Name in /dev of the device that on-demand daemons open");

/* --- logging --------------------------------------------------------------- */

void ondine_pr_err_ratelimited(const char *device, u64 nid, const char *message,
			       int len)
{
	pr_err_ratelimited("ondine: (device %s): nid %llu: %.*s\n", device, nid, len, message);
}

/* A name may be one that an image chose. */
void ondine_log_refusal(const char *name, int name_len, const char *reason, int len, int error)
{
	pr_err_ratelimited("ondine: %*pE: %.*s (error %d)\n", name_len, name, len, reason, error);
}

void ondine_log_cut(const struct inode *inode)
{
	pr_err_ratelimited("ondine: (device %s): nid %llu: the blob ends before the file does\n",
			   inode->i_sb->s_id, (u64)inode->i_ino);
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

/* Sets the alignment of direct I/O on a block device. */
void ondine_stat_dio(struct kstat *stat, struct block_device *bdev)
{
	stat->dio_mem_align = bdev_dma_alignment(bdev) + 1;
	stat->dio_offset_align = bdev_logical_block_size(bdev);
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

/* Names a super block without a device after its number, as in stat(2). */
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

/* Initialises a kiocb for buffered reads, also of a file opened with O_DIRECT. */
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

const struct cred *ondine_get_current_cred(void)
{
	return get_current_cred();
}

void ondine_put_cred(const struct cred *cred)
{
	put_cred(cred);
}

/* A function or an inline one, by the kernel's configuration. */
int ondine_setlease(struct file *file, int kind, struct file_lease **lease, void **priv)
{
	return generic_setlease(file, kind, lease, priv);
}

loff_t ondine_i_size(const struct inode *inode)
{
	return i_size_read(inode);
}

/* --- folios ---------------------------------------------------------------------- */

void ondine_folio_put(struct folio *folio)
{
	folio_put(folio);
}

/* Returns the bytes from file position @pos, which is in @folio, to its end. */
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

/* To be called in loops whose length an image determines. */
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

/* --- waiting ------------------------------------------------------------------- */

void ondine_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

void ondine_init_rwsem(struct rw_semaphore *sem)
{
	init_rwsem(sem);
}

void ondine_wake_up_all(struct wait_queue_head *queue)
{
	wake_up_all(queue);
}

/* The kinds of suspend that are under way, one bit for each. */
static atomic_t suspends = ATOMIC_INIT(0);

/*
 * A task can be frozen while it waits only while the system suspends. It may hold
 * locks of the VFS: the freezer of a cgroup would take them away from tasks of other
 * cgroups, until it lets the task go.
 */
static unsigned int wait_state(void)
{
	return atomic_read(&suspends) ? TASK_KILLABLE | TASK_FREEZABLE_UNSAFE : TASK_KILLABLE;
}

/*
 * Returns the jiffies left, 0 on timeout, -ERESTARTSYS if the task was killed.
 *
 * The state is chosen for each sleep. Suspend wakes all queues once the bit is set, so
 * that a task which is asleep looks again:
 *
 * CPU 1 (waiting task)		CPU 2 (suspend_event())
 * wait_state(): killable
 * enter the queue; sleep
 *				set the bit
 *				wake the queue
 * wait_state(): freezable
 */
long ondine_wait_killable(struct wait_queue_head *queue, bool (*done)(void *), void *data,
			  unsigned long msecs)
{
	long timeout = msecs ? msecs_to_jiffies(msecs) : MAX_SCHEDULE_TIMEOUT;
	long __ret = timeout;

	might_sleep();
	if (___wait_cond_timeout(done(data)))
		return __ret;
	/* The macro evaluates the state on each turn. */
	return ___wait_event(*queue, ___wait_cond_timeout(done(data)), wait_state(), 0, timeout,
			     __ret = schedule_timeout(__ret));
}

/* --- suspend ------------------------------------------------------------------- */

/* One kind can begin and end while another is under way. */
enum suspend_kind {
	HIBERNATION = 1,
	SUSPEND = 2,
	RESTORE = 4,
};

static void suspend_changes(struct ondine_suspend *notifier, int kind, bool begins)
{
	if (begins)
		atomic_or(kind, &suspends);
	else
		atomic_andnot(kind, &suspends);
	notifier->suspend(notifier->data, atomic_read(&suspends));
}

static int suspend_event(struct notifier_block *block, unsigned long event, void *unused)
{
	struct ondine_suspend *notifier = container_of(block, struct ondine_suspend, block);

	switch (event) {
	case PM_HIBERNATION_PREPARE:
	case PM_POST_HIBERNATION:
		suspend_changes(notifier, HIBERNATION, event == PM_HIBERNATION_PREPARE);
		break;
	case PM_SUSPEND_PREPARE:
	case PM_POST_SUSPEND:
		suspend_changes(notifier, SUSPEND, event == PM_SUSPEND_PREPARE);
		break;
	case PM_RESTORE_PREPARE:
	case PM_POST_RESTORE:
		suspend_changes(notifier, RESTORE, event == PM_RESTORE_PREPARE);
		break;
	}
	return NOTIFY_DONE;
}

int ondine_suspend_register(struct ondine_suspend *notifier,
			    void (*suspend)(void *, bool), void *data)
{
	notifier->block = (struct notifier_block){ .notifier_call = suspend_event };
	notifier->suspend = suspend;
	notifier->data = data;
	return register_pm_notifier(&notifier->block);
}

void ondine_suspend_unregister(struct ondine_suspend *notifier)
{
	unregister_pm_notifier(&notifier->block);
}

/* --- timer --------------------------------------------------------------------- */

static void timer_work(struct work_struct *work)
{
	struct ondine_timer *timer = container_of(work, struct ondine_timer, work.work);

	if (timer->expired(timer->data))
		ondine_timer_start(timer);
}

void ondine_timer_init(struct ondine_timer *timer, bool (*expired)(void *), void *data)
{
	INIT_DELAYED_WORK(&timer->work, timer_work);
	timer->expired = expired;
	timer->data = data;
}

void ondine_timer_start(struct ondine_timer *timer)
{
	schedule_delayed_work(&timer->work, HZ);
}

void ondine_timer_stop(struct ondine_timer *timer)
{
	cancel_delayed_work_sync(&timer->work);
}
