// SPDX-License-Identifier: GPL-2.0
/*
 * Cache files: the directories that they are in, and their I/O, see cache_dir.h.
 */
#include <linux/mount.h>
#include <linux/security.h>
#include <linux/falloc.h>

#include "../sys/helpers.h"
#include "cache_dir.h"

/*
 * True if only the current task's user and root may change @inode. Whoever else
 * may could have files of their own taken for blobs.
 */
static bool is_private(const struct inode *inode)
{
	return !(inode->i_mode & (S_IWGRP | S_IWOTH)) &&
	       (uid_eq(inode->i_uid, current_fsuid()) || uid_eq(inode->i_uid, GLOBAL_ROOT_UID));
}

/*
 * Checks that the file system of @dir has the operations that cache files need. If
 * not, @why is the reason.
 */
int ondine_cache_dir_check(struct file *dir, const char **why)
{
	struct vfsmount *mnt = dir->f_path.mnt;
	struct dentry *root = dir->f_path.dentry;
	struct super_block *sb = root->d_sb;
	struct kstatfs stats;
	int ret;

	*why = "is on an idmapped mount";
	if (is_idmapped_mnt(mnt))
		return -EINVAL;
	*why = "is on a file system without O_TMPFILE, extended attributes, statfs or syncfs";
	if (d_is_negative(root) ||
	    !d_backing_inode(root)->i_op->lookup ||
	    !d_backing_inode(root)->i_op->mkdir ||
	    !d_backing_inode(root)->i_op->tmpfile ||
	    !(d_backing_inode(root)->i_opflags & IOP_XATTR) ||
	    !sb->s_op->statfs ||
	    !sb->s_op->sync_fs)
		return -EOPNOTSUPP;
	*why = "is on a file system with blocks larger than a page";
	if (sb->s_blocksize > PAGE_SIZE)
		return -EOPNOTSUPP;
	*why = "is on a read-only file system";
	if (sb_rdonly(sb))
		return -EROFS;
	*why = "is on a file system that does not tell its size";
	ret = vfs_statfs(&dir->f_path, &stats);
	if (ret)
		return ret;
	if (stats.f_bsize <= 0)
		return -ERANGE;
	*why = "is on a file system with blocks larger than a page";
	if (stats.f_bsize > PAGE_SIZE)
		return -EOPNOTSUPP;
	*why = "belongs to another user, or can be written to by a group or by others";
	return is_private(d_inode(root)) ? 0 : -EPERM;
}

/* True if @file can be a cache file: regular, and written by direct I/O. */
static bool is_fit(struct file *file)
{
	return S_ISREG(file_inode(file)->i_mode) && (file->f_mode & FMODE_CAN_ODIRECT);
}

/* Opens a file without a name in @dir that can be a cache file. */
struct file *ondine_cache_dir_tmpfile(struct file *dir, const char **why)
{
	struct file *file;
	int ret = mnt_want_write(dir->f_path.mnt);

	*why = "cannot be written to";
	if (ret)
		return ERR_PTR(ret);
	file = kernel_tmpfile_open(&nop_mnt_idmap, &dir->f_path, S_IFREG | 0600,
				   O_RDWR | O_LARGEFILE, current_cred());
	mnt_drop_write(dir->f_path.mnt);
	if (IS_ERR(file) || is_fit(file))
		return file;
	fput(file);
	*why = "is on a file system without direct I/O";
	return ERR_PTR(-EOPNOTSUPP);
}

/*
 * Checks that the file system of @file, which is empty, reports holes, and can make
 * them. One that reports a hole as data would make zeros, which the daemon has not
 * written, part of an image.
 */
int ondine_cache_file_probe(struct file *file, const char **why)
{
	int ret = vfs_truncate(&file->f_path, PAGE_SIZE);

	*why = "cannot be written to";
	if (ret)
		return ret;
	*why = "is on a file system that does not report holes";
	if (vfs_llseek(file, 0, SEEK_DATA) != -ENXIO)
		return -EOPNOTSUPP;
	/* A write that fails in the middle of a page is undone. */
	*why = "is on a file system that cannot punch holes";
	return ondine_cache_file_punch(file, 0, PAGE_SIZE);
}

/* Returns the free blocks and files of the file system, in per cent. */
int ondine_cache_dir_free_space(struct file *dir, u64 *blocks, u64 *files)
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
	if (!d_is_dir(child))
		ret = -ENOTDIR;
	else if (!is_private(d_inode(child)))
		ret = -EPERM;
	else
		return child;
	dput(child);
	return ERR_PTR(ret);
}

/* Creates the directory @name in @dir, unless it exists. */
int ondine_cache_dir_make_dir(struct file *dir, const char *name)
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
 * Opens the file at the path @names below @dir for reading and writing. Creates
 * the file, and the directories on the way to it, unless they exist.
 */
struct file *ondine_cache_dir_open(struct file *dir, const char *const *names, unsigned int count)
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
	if (!is_fit(file) || !is_private(file_inode(file))) {
		ret = is_fit(file) ? -EPERM : -EOPNOTSUPP;
		fput(file);
		file = ERR_PTR(ret);
		goto out;
	}
	/* Reading an image is no access to the file that contains it. */
	file->f_flags |= O_NOATIME;
	/*
	 * Sets S_NOSEC, without which the daemon's first write takes the inode's
	 * lock exclusively, and waits for every direct read. A failure shows at
	 * that write.
	 */
	file_start_write(file);
	inode_lock(file_inode(file));
	file_remove_privs(file);
	inode_unlock(file_inode(file));
	file_end_write(file);
out:
	dput(at.dentry);
	return file;
}

/* True if @file is @dir, or below it. */
bool ondine_cache_file_is_in(struct file *file, struct file *dir)
{
	return is_subdir(file->f_path.dentry, dir->f_path.dentry);
}

/* True if @file is below @dir. */
bool ondine_cache_file_is_below(struct file *file, struct file *dir)
{
	return file->f_path.dentry != dir->f_path.dentry && ondine_cache_file_is_in(file, dir);
}

/*
 * Removes @file, a file or an empty directory below @dir. Fails with EINVAL if
 * another one has its name by now. The path-based security hook for directories
 * is not exported to modules; vfs_rmdir() calls the inode-based one.
 */
int ondine_cache_dir_remove(struct file *dir, struct file *file)
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

ssize_t ondine_cache_file_write(struct file *file, struct iov_iter *iter, loff_t pos)
{
	struct kiocb kiocb;

	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = pos;
	kiocb.ki_flags |= IOCB_DIRECT | IOCB_WRITE;
	return vfs_iocb_iter_write(file, &kiocb, iter);
}

/* Drops the page cache of @file, as far as it is not in use. */
void ondine_cache_file_forget(struct file *file)
{
	struct address_space *mapping = file->f_mapping;

	if (!mapping->nrpages)
		return;
	filemap_write_and_wait(mapping);
	/* Reports no error: callers check with ondine_cache_file_is_cached(). */
	invalidate_inode_pages2(mapping);
}

/* True if any page of @file is cached. */
bool ondine_cache_file_is_cached(struct file *file)
{
	return READ_ONCE(file->f_mapping->nrpages);
}

/* lseek(2), which moves the position of a regular file under the same lock. */
loff_t ondine_cache_file_seek(struct file *file, loff_t offset, int whence)
{
	guard(mutex)(&file->f_pos_lock);
	return vfs_llseek(file, offset, whence);
}

/* Makes a hole of @len bytes at @offset. */
int ondine_cache_file_punch(struct file *file, loff_t offset, loff_t len)
{
	return vfs_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
}

int ondine_cache_file_resize(struct file *file, loff_t size)
{
	return vfs_truncate(&file->f_path, size);
}

ssize_t ondine_cache_file_get_xattr(struct file *file, const char *name, void *value, size_t size)
{
	return vfs_getxattr(&nop_mnt_idmap, file->f_path.dentry, name, value, size);
}

int ondine_cache_file_set_xattr(struct file *file, const char *name, const void *value, size_t size)
{
	int ret = mnt_want_write_file(file);

	if (ret)
		return ret;
	ret = vfs_setxattr(&nop_mnt_idmap, file->f_path.dentry, name, value, size, 0);
	mnt_drop_write_file(file);
	return ret;
}
