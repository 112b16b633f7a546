// SPDX-License-Identifier: GPL-2.0
/*
 * Reading through the page cache: metadata folios, read(2), and dropping what
 * has been copied elsewhere.
 *
 * A file is read here under no lock of its own. User memory may be a mapping of
 * the same file, through an image in it: a page fault under the file's i_rwsem
 * would wait for a fill that wants that lock.
 */
#include <linux/bitops.h>
#include <linux/fsnotify.h>
#include <linux/iomap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>

#include "page_cache.h"

/*
 * Allows large folios in the page cache of an inode that is in use.
 *
 * mapping_set_large_folios() is for inode constructors: it is a plain
 * read-modify-write, which would undo a concurrent set_bit() of another AS_*
 * flag. This sets the same bits atomically. The minimum order stays 0, so that
 * a folio that is allocated concurrently is valid under either limit.
 */
void ondine_mapping_allow_large_folios(struct address_space *mapping)
{
	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		set_mask_bits(&mapping->flags, AS_FOLIO_ORDER_MASK,
			      (unsigned long)MAX_PAGECACHE_ORDER << AS_FOLIO_ORDER_MAX);
}

/* True if ondine_meta_folio() works on @mapping: not for a few special files. */
bool ondine_mapping_can_read(struct address_space *mapping)
{
	return mapping->a_ops->read_folio || shmem_mapping(mapping);
}

/*
 * Pages requested when a metadata page is not cached. Inodes, their inline data
 * and their directories lie together: with four pages a walk of the tree takes a
 * third fewer device reads than with one, and as many instructions.
 */
#define META_PAGES 4

/*
 * True if a fanotify group wants to see reads of @file before they happen, and
 * may write the bytes only then. The watches of a file are fixed when it is
 * opened.
 */
static bool is_watched(const struct file *file)
{
	return FMODE_FSNOTIFY_HSM(file->f_mode);
}

/*
 * Returns an up-to-date, referenced folio of metadata, for [@pos, @pos + @len) of
 * it. One that is not cached is read together with the pages that readahead
 * selects.
 */
struct folio *ondine_meta_folio(struct file *file, loff_t pos, size_t len,
				struct file_ra_state *ra)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t index = pos >> PAGE_SHIFT;
	const struct cred *reader;
	struct folio *folio;
	int ret;

	if (unlikely(is_watched(file))) {
		/* The reader of a tree need not be allowed to read its image. */
		reader = override_creds(file->f_cred);
		ret = rw_verify_area(READ, file, &pos, len);
		revert_creds(reader);
		if (ret)
			return ERR_PTR(ret);
	}
	if (unlikely(!mapping->a_ops->read_folio))
		return shmem_read_folio_gfp(mapping, index, mapping_gfp_mask(mapping));

	folio = filemap_get_folio(mapping, index);
	if (!IS_ERR(folio)) {
		if (folio_test_uptodate(folio)) {
			folio_mark_accessed(folio);
			return folio;
		}
		folio_put(folio);
	} else {
		page_cache_sync_readahead(mapping, ra, file, index, META_PAGES);
	}
	return read_mapping_folio(mapping, index, file);
}

/*
 * Fills @folio, or waits for the task that is filling it. Returns
 * AOP_TRUNCATED_PAGE if the folio is no longer in @mapping.
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
	/* Unlocks the folio, now or on completion. */
	ret = mapping->a_ops->read_folio(NULL, folio);
	if (!ret)
		ret = folio_wait_locked_killable(folio);
	if (!ret && !folio_test_uptodate(folio))
		ret = -EIO;
	return ret;
}

/*
 * Locks @folio of @mapping again. Returns 0 if it has still to be read; 1 if it was
 * read meanwhile, and AOP_TRUNCATED_PAGE if it is no longer in @mapping, both times
 * without the lock. Whoever has the lock waits for a disk and not for the daemon.
 */
int ondine_folio_relock(struct folio *folio, struct address_space *mapping)
{
	int ret;

	folio_lock(folio);
	if (folio->mapping == mapping && !folio_test_uptodate(folio))
		return 0;
	ret = folio->mapping == mapping ? 1 : AOP_TRUNCATED_PAGE;
	folio_unlock(folio);
	return ret;
}

/*
 * Ends the read of a part of @folio without a result, to be read again by whoever
 * needs it. Not by an error of iomap where that can be helped: it would be reported
 * as one of the file.
 */
void ondine_folio_give_back(struct folio *folio, size_t offset, size_t len)
{
	/* With state of its blocks, the folio is unlocked after the last of its parts. */
	if (folio_get_private(folio))
		iomap_finish_folio_read(folio, offset, len, -EAGAIN);
	else
		folio_unlock(folio);
}

/*
 * Returns an up-to-date, referenced folio of @mapping, which reads without a
 * file. Like read_mapping_folio(), but killable while waiting for a folio that
 * another task is reading, which may depend on the daemon.
 */
struct folio *ondine_read_folio(struct address_space *mapping, pgoff_t index)
{
	struct folio *folio;
	int ret;

	do {
		/* FGP_FOR_MMAP: a new folio is returned unlocked, too. */
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

/* inode_operations.get_link: page_get_link(), after a killable wait. */
const char *ondine_get_link(struct dentry *dentry, struct inode *inode,
			    struct delayed_call *done)
{
	struct folio *folio;
	const char *link;

	/* An RCU walk must not wait. */
	if (!dentry)
		return page_get_link(dentry, inode, done);
	folio = ondine_read_folio(inode->i_mapping, 0);
	if (IS_ERR(folio))
		return ERR_CAST(folio);
	/* The reference keeps the folio cached, so that this does not wait. */
	link = page_get_link(dentry, inode, done);
	folio_put(folio);
	return link;
}

/*
 * Copies cached, up-to-date bytes of [@pos, @pos + @len) to @iter.
 *
 * Stops early at the first folio that is not uptodate and, with @reads_ahead,
 * at PG_readahead, so that the caller falls back to the normal read. @last is
 * the last byte of the previous read, or -1: its folio is marked accessed
 * already.
 */
static __always_inline size_t copy_cached(struct address_space *mapping, loff_t pos, size_t len,
					  struct iov_iter *iter, bool reads_ahead, loff_t last)
{
	size_t done = 0, part, copied;
	struct folio *folio;
	loff_t left;

	while (done < len) {
		/* An extent may have 2 GiB. Most reads are of one folio. */
		if (done) {
			cond_resched();
			if (fatal_signal_pending(current))
				break;
		}
		folio = filemap_get_folio(mapping, pos >> PAGE_SHIFT);
		if (IS_ERR(folio))
			break;
		part = 0;
		if (folio_test_uptodate(folio) && !(reads_ahead && folio_test_readahead(folio)) &&
		    !folio_contain_hwpoisoned_page(folio)) {
			/*
			 * Read i_size after the flag, as filemap_read() does: a
			 * folio beyond the old size may be uptodate.
			 */
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
 * Copies the cached bytes of @file; the caller reads the rest with
 * ondine_read_buffered().
 *
 * A file system may revalidate before it uses cached pages. None is asked here:
 * the bytes of a blob do not change. Of a watched file, cached pages may not have
 * been filled yet.
 */
size_t ondine_read_cached(struct file *file, loff_t pos, size_t len, struct iov_iter *iter)
{
	loff_t *prev = &file->f_ra.prev_pos;
	size_t done;

	if (unlikely(is_watched(file)))
		return 0;
	done = copy_cached(file->f_mapping, pos, len, iter, true, *prev - 1);
	if (done)
		*prev = pos + done;
	return done;
}

/*
 * Copies the cached bytes of an inode of ours. read(2) does not read ahead in
 * its page cache, which mmap(2) and splice(2) fill.
 */
size_t ondine_read_mapped(struct inode *inode, loff_t pos, size_t len, struct iov_iter *iter)
{
	struct address_space *mapping = inode->i_mapping;

	return mapping->nrpages ? copy_cached(mapping, pos, len, iter, false, -1) : 0;
}

/*
 * Reads through the page cache of the request's file. Returns bytes or an errno.
 *
 * Not by ->read_iter(): XFS, NFS and netfs hold the inode's lock during the whole
 * of a buffered read, copies to user memory included. filemap_read() fills the
 * page cache under the locks that a page fault takes, and copies under none. So
 * does shmem_file_read_iter(), where filemap_read() does not work.
 */
ssize_t ondine_read_buffered(struct kiocb *kiocb, struct iov_iter *iter)
{
	struct file *file = kiocb->ki_filp;
	ssize_t ret;

	ret = rw_verify_area(READ, file, &kiocb->ki_pos, iov_iter_count(iter));
	if (ret)
		return ret;
	if (file->f_mapping->a_ops->read_folio)
		ret = filemap_read(kiocb, iter, 0);
	else
		ret = file->f_op->read_iter(kiocb, iter);
	if (ret >= 0)
		fsnotify_access(file);
	return ret;
}

/*
 * The alignment of direct reads in bytes, at least a page, or 0 if there shall be
 * none. @mem_align gets the alignment of memory for them, a power of two.
 *
 * There are none without a block device: network file systems switch an inode
 * between buffered and direct reads under its exclusive lock.
 */
unsigned int ondine_direct_align(struct file *file, unsigned int *mem_align)
{
	struct kstat stat = {};

	*mem_align = PAGE_SIZE;

	if (!(file->f_mode & FMODE_CAN_ODIRECT) ||
	    !(file_inode(file)->i_sb->s_type->fs_flags & FS_REQUIRES_DEV) ||
	    vfs_getattr(&file->f_path, &stat, STATX_DIOALIGN, AT_STATX_DONT_SYNC))
		return 0;
	/* btrfs reads directly, and does not say how. */
	if (!(stat.result_mask & STATX_DIOALIGN))
		return PAGE_SIZE;
	if (!is_power_of_2(stat.dio_offset_align))
		return 0;
	if (is_power_of_2(stat.dio_mem_align))
		*mem_align = stat.dio_mem_align;
	return max_t(unsigned int, stat.dio_offset_align, PAGE_SIZE);
}

/* Pages that one direct read pins. */
#define PINNED_PAGES 256

static void unpin(const struct bio_vec *vecs, unsigned short count)
{
	unsigned short i;

	for (i = 0; i < count; i++)
		unpin_user_page_range_dirty_lock(vecs[i].bv_page,
						 DIV_ROUND_UP(vecs[i].bv_offset + vecs[i].bv_len,
							      PAGE_SIZE), true);
}

/*
 * Reads by direct I/O a part of what @iter has room for, in multiples of @align, into
 * memory that is aligned to @mem_align. Returns bytes, or an errno and leaves @iter as
 * it was; -EINVAL or -ENOTBLK if the read must be buffered.
 *
 * User pages are pinned before the file system takes a lock, which it holds while
 * it looks for the pages of a user's iterator. The block layer takes the segments of
 * the iterator that is made of them as they are, so that each is checked here.
 */
ssize_t ondine_read_direct(struct kiocb *kiocb, struct iov_iter *iter, unsigned int align,
			   unsigned int mem_align)
{
	size_t before = iov_iter_count(iter);
	size_t want = min_t(size_t, round_down(before, align), PINNED_PAGES * PAGE_SIZE);
	unsigned short count = 0, room;
	struct iov_iter pinned;
	struct bio_vec *vecs;
	size_t got = 0, len;
	ssize_t ret = 0;

	if (!user_backed_iter(iter)) {
		if (iov_iter_alignment(iter) & (mem_align - 1))
			return -ENOTBLK;
		ret = vfs_iocb_iter_read(kiocb->ki_filp, kiocb, iter);
		/* Part of it may have been submitted before the error. */
		if (ret < 0)
			iov_iter_revert(iter, before - iov_iter_count(iter));
		return ret;
	}
	if (!want)
		return -ENOTBLK;
	room = iov_iter_npages(iter, PINNED_PAGES);
	vecs = kmalloc_array(room, sizeof(*vecs), GFP_KERNEL);
	if (!vecs)
		return -ENOMEM;
	/* A segment that reaches beyond the last whole @align is not misaligned by that. */
	iov_iter_truncate(iter, want);
	while (got < want && count < room) {
		ret = iov_iter_extract_bvecs(iter, vecs, want - got, &count, room, mem_align - 1, 0);
		if (ret <= 0)
			break;
		got += ret;
	}
	iov_iter_reexpand(iter, before - got);
	len = round_down(got, align);
	if (len) {
		iov_iter_bvec(&pinned, ITER_DEST, vecs, count, len);
		ret = vfs_iocb_iter_read(kiocb->ki_filp, kiocb, &pinned);
	} else if (ret >= 0) {
		ret = -ENOTBLK;
	}
	iov_iter_revert(iter, got - max_t(ssize_t, ret, 0));
	unpin(vecs, count);
	kfree(vecs);
	return ret;
}

/*
 * Drops @folio, unless that would wait for another task or take pages away from a
 * mapping.
 */
static void drop_unused(struct address_space *mapping, struct folio *folio)
{
	if (!folio_test_locked(folio) && !folio_test_dirty(folio) &&
	    !folio_test_writeback(folio) && !folio_mapped(folio))
		invalidate_inode_pages2_range(mapping, folio->index, folio_next_index(folio) - 1);
}

/*
 * Drops the folios that end in [@pos, @pos + @len), which has been copied to
 * another page cache, from @mapping. A folio that is larger than the range is
 * dropped with its last page: otherwise one whose every page has been copied
 * could stay.
 *
 * Not by invalidate_mapping_pages(), which keeps folios that were just read.
 */
void ondine_drop_copied(struct address_space *mapping, loff_t pos, size_t len)
{
	pgoff_t index = DIV_ROUND_UP_ULL(pos, PAGE_SIZE);
	pgoff_t end = (pos + len) >> PAGE_SHIFT;
	struct folio *folio;

	/* The pages of tmpfs have no other place. */
	if (!mapping->a_ops->read_folio)
		return;
	for (; index < end; index++) {
		folio = filemap_get_folio(mapping, index);
		if (IS_ERR(folio))
			continue;
		if (folio_next_index(folio) <= end)
			drop_unused(mapping, folio);
		index = folio_next_index(folio) - 1;
		folio_put(folio);
	}
}
