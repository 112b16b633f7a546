// SPDX-License-Identifier: GPL-2.0
/*
 * Cache files: the directories that they are in, and their I/O, see helpers.h.
 */
#include <linux/mount.h>
#include <linux/security.h>

#include "helpers.h"

/* What a file system must offer to hold cache files. */
int ondine_store_check(struct file *dir)
{
	struct vfsmount *mnt = dir->f_path.mnt;
	struct dentry *root = dir->f_path.dentry;
	struct super_block *sb = root->d_sb;
	struct kstatfs stats;
	int ret;

	if (is_idmapped_mnt(mnt))
		return -EINVAL;
	if (d_is_negative(root) ||
	    !d_backing_inode(root)->i_op->lookup ||
	    !d_backing_inode(root)->i_op->mkdir ||
	    !d_backing_inode(root)->i_op->tmpfile ||
	    !(d_backing_inode(root)->i_opflags & IOP_XATTR) ||
	    !sb->s_op->statfs ||
	    !sb->s_op->sync_fs ||
	    sb->s_blocksize > PAGE_SIZE)
		return -EOPNOTSUPP;
	if (sb_rdonly(sb))
		return -EROFS;
	ret = vfs_statfs(&dir->f_path, &stats);
	if (ret)
		return ret;
	if (stats.f_bsize <= 0)
		return -ERANGE;
	return stats.f_bsize > PAGE_SIZE ? -EOPNOTSUPP : 0;
}

/* A file that the cache can be kept in: a regular one, written past the page cache. */
static bool is_fit(struct file *file)
{
	return S_ISREG(file_inode(file)->i_mode) && (file->f_mode & FMODE_CAN_ODIRECT);
}

/*
 * Whether the file system tells holes from data. One that does not gives a hole
 * for data, and zeros that nobody has fetched for an image.
 */
int ondine_store_probe(struct file *dir)
{
	struct file *file;
	int ret = mnt_want_write(dir->f_path.mnt);

	if (ret)
		return ret;
	file = kernel_tmpfile_open(&nop_mnt_idmap, &dir->f_path, S_IFREG | 0600,
				   O_RDWR | O_LARGEFILE, current_cred());
	mnt_drop_write(dir->f_path.mnt);
	if (IS_ERR(file))
		return PTR_ERR(file);
	if (is_fit(file))
		ret = vfs_truncate(&file->f_path, PAGE_SIZE);
	else
		ret = -EOPNOTSUPP;
	if (!ret && vfs_llseek(file, 0, SEEK_DATA) != -ENXIO)
		ret = -EOPNOTSUPP;
	fput(file);
	return ret;
}

/* How full the file system is: per cent of blocks and files that are left. */
int ondine_store_room(struct file *dir, u64 *blocks, u64 *files)
{
	struct kstatfs stats;
	int ret = vfs_statfs(&dir->f_path, &stats);

	if (ret)
		return ret;
	*blocks = stats.f_blocks ? mul_u64_u64_div_u64(stats.f_bavail, 100, stats.f_blocks) : 100;
	*files = stats.f_files ? mul_u64_u64_div_u64(stats.f_ffree, 100, stats.f_files) : 100;
	return 0;
}

static struct dentry *make_dir(struct vfsmount *mnt, struct dentry *parent, const char *name)
{
	struct path path = { .mnt = mnt, .dentry = parent };
	struct dentry *child;
	int ret;

	child = start_creating(&nop_mnt_idmap, parent, &QSTR(name));
	if (IS_ERR(child))
		return child;
	if (d_is_negative(child)) {
		ret = security_path_mkdir(&path, child, 0700);
		if (ret) {
			end_creating(child);
			return ERR_PTR(ret);
		}
		child = vfs_mkdir(&nop_mnt_idmap, d_inode(parent), child, 0700, NULL);
		if (IS_ERR(child))
			return child;
	}
	child = end_creating_keep(child);
	if (d_is_dir(child))
		return child;
	dput(child);
	return ERR_PTR(-ENOTDIR);
}

/* Makes the directory `name` in `dir`, if it is not there. */
int ondine_store_make_dir(struct file *dir, const char *name)
{
	struct vfsmount *mnt = dir->f_path.mnt;
	struct dentry *made;
	int ret = mnt_want_write(mnt);

	if (ret)
		return ret;
	made = make_dir(mnt, dir->f_path.dentry, name);
	mnt_drop_write(mnt);
	if (IS_ERR(made))
		return PTR_ERR(made);
	dput(made);
	return 0;
}

/*
 * Opens a file for reading and writing, `names` below `dir`; makes what is not
 * there, directories (all names but the last) and file.
 */
struct file *ondine_store_open(struct file *dir, const char *const *names, unsigned int count)
{
	struct path at = { .mnt = dir->f_path.mnt, .dentry = dget(dir->f_path.dentry) };
	struct file *file = ERR_PTR(-EINVAL);
	struct dentry *next;
	int ret;

	if (!count)
		goto out;
	ret = mnt_want_write(at.mnt);
	if (ret) {
		file = ERR_PTR(ret);
		goto out;
	}
	for (; count > 1; count--) {
		next = make_dir(at.mnt, at.dentry, *names++);
		if (IS_ERR(next))
			break;
		dput(at.dentry);
		at.dentry = next;
	}
	mnt_drop_write(at.mnt);
	if (count > 1)
		file = ERR_CAST(next);
	else
		file = file_open_root(&at, *names, O_RDWR | O_CREAT | O_LARGEFILE | O_NOFOLLOW, 0600);
	if (IS_ERR(file))
		goto out;
	if (!is_fit(file)) {
		fput(file);
		file = ERR_PTR(-EOPNOTSUPP);
		goto out;
	}
	/* Reading an image is no access to the file that it is in. */
	file->f_flags |= O_NOATIME;
out:
	dput(at.dentry);
	return file;
}

/* Whether a file is the other one, or below it. */
bool ondine_store_is_in(struct file *file, struct file *dir)
{
	return is_subdir(file->f_path.dentry, dir->f_path.dentry);
}

/* Whether a file is below a directory. */
bool ondine_store_is_below(struct file *file, struct file *dir)
{
	return file->f_path.dentry != dir->f_path.dentry && ondine_store_is_in(file, dir);
}

/*
 * Removes a file or an empty directory below `dir`: what was looked at, and
 * nothing that has taken its name since. The security hook for the path of a
 * directory is not exported to modules; vfs_rmdir() asks the one for its inode.
 */
int ondine_store_remove(struct file *dir, struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;
	struct path parent = { .mnt = dir->f_path.mnt, .dentry = dget_parent(dentry) };
	int ret = mnt_want_write(parent.mnt);

	if (ret)
		goto out;
	dentry = start_removing_dentry(parent.dentry, dentry);
	if (IS_ERR(dentry)) {
		ret = PTR_ERR(dentry);
	} else {
		if (d_is_dir(dentry)) {
			ret = vfs_rmdir(&nop_mnt_idmap, d_inode(parent.dentry), dentry, NULL);
		} else {
			ret = security_path_unlink(&parent, dentry);
			if (!ret)
				ret = vfs_unlink(&nop_mnt_idmap, d_inode(parent.dentry), dentry,
						 NULL);
		}
		end_removing(dentry);
	}
	mnt_drop_write(parent.mnt);
out:
	dput(parent.dentry);
	return ret;
}

ssize_t ondine_store_write(struct file *file, struct iov_iter *iter, loff_t pos)
{
	struct kiocb kiocb;

	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = pos;
	kiocb.ki_flags |= IOCB_DIRECT | IOCB_WRITE;
	return vfs_iocb_iter_write(file, &kiocb, iter);
}

/* Drops what the page cache has of a file. */
void ondine_store_forget(struct file *file)
{
	struct address_space *mapping = file->f_mapping;

	if (!mapping->nrpages)
		return;
	filemap_write_and_wait(mapping);
	/* What is left is seen by ondine_store_is_cached(). */
	invalidate_inode_pages2(mapping);
}

/* Whether the page cache has something of a file. */
bool ondine_store_is_cached(struct file *file)
{
	return READ_ONCE(file->f_mapping->nrpages);
}

int ondine_store_resize(struct file *file, loff_t size)
{
	return vfs_truncate(&file->f_path, size);
}

ssize_t ondine_store_get_xattr(struct file *file, const char *name, void *value, size_t size)
{
	return vfs_getxattr(&nop_mnt_idmap, file->f_path.dentry, name, value, size);
}

int ondine_store_set_xattr(struct file *file, const char *name, const void *value, size_t size)
{
	int ret = mnt_want_write_file(file);

	if (ret)
		return ret;
	ret = vfs_setxattr(&nop_mnt_idmap, file->f_path.dentry, name, value, size, 0);
	mnt_drop_write_file(file);
	return ret;
}

const struct cred *ondine_get_current_cred(void)
{
	return get_current_cred();
}

void ondine_put_cred(const struct cred *cred)
{
	put_cred(cred);
}

/* --- waiting ------------------------------------------------------------------- */

void ondine_init_waitqueue(struct wait_queue_head *queue)
{
	init_waitqueue_head(queue);
}

void ondine_wake_up_all(struct wait_queue_head *queue)
{
	wake_up_all(queue);
}

/* jiffies that are left, 0 if the time is over, -ERESTARTSYS if the task is killed. */
long ondine_wait_killable(struct wait_queue_head *queue, bool (*done)(void *), void *data,
			  unsigned long msecs)
{
	long timeout = msecs ? msecs_to_jiffies(msecs) : MAX_SCHEDULE_TIMEOUT;

	return wait_event_killable_timeout(*queue, done(data), timeout);
}

/* --- a ticker ------------------------------------------------------------------ */

static void ticker_work(struct work_struct *work)
{
	struct ondine_ticker *ticker = container_of(work, struct ondine_ticker, work.work);

	if (ticker->tick(ticker->data))
		ondine_ticker_start(ticker);
}

void ondine_ticker_init(struct ondine_ticker *ticker, bool (*tick)(void *), void *data)
{
	INIT_DELAYED_WORK(&ticker->work, ticker_work);
	ticker->tick = tick;
	ticker->data = data;
}

void ondine_ticker_start(struct ondine_ticker *ticker)
{
	schedule_delayed_work(&ticker->work, HZ);
}

void ondine_ticker_stop(struct ondine_ticker *ticker)
{
	cancel_delayed_work_sync(&ticker->work);
}
