/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading through the page cache of an image's files and of our own inodes.
 */
#ifndef ONDINE_PAGE_CACHE_H
#define ONDINE_PAGE_CACHE_H

#include <linux/fs.h>
#include <linux/pagemap.h>
#include <linux/uio.h>

void ondine_mapping_allow_large_folios(struct address_space *mapping);
bool ondine_mapping_can_read(struct address_space *mapping);
struct folio *ondine_meta_folio(struct file *file, loff_t pos, size_t len,
				struct file_ra_state *ra);
struct folio *ondine_read_folio(struct address_space *mapping, pgoff_t index);
int ondine_folio_relock(struct folio *folio, struct address_space *mapping);
void ondine_folio_give_back(struct folio *folio, size_t offset, size_t len);
const char *ondine_get_link(struct dentry *dentry, struct inode *inode,
			    struct delayed_call *done);
size_t ondine_read_cached(struct file *file, loff_t pos, size_t len, struct iov_iter *iter);
size_t ondine_read_mapped(struct inode *inode, loff_t pos, size_t len, struct iov_iter *iter);
ssize_t ondine_read_buffered(struct kiocb *kiocb, struct iov_iter *iter);
unsigned int ondine_direct_align(struct file *file, unsigned int *mem_align);
ssize_t ondine_read_direct(struct kiocb *kiocb, struct iov_iter *iter, unsigned int align,
			   unsigned int mem_align);
void ondine_drop_copied(struct address_space *mapping, loff_t pos, size_t len);

#endif /* ONDINE_PAGE_CACHE_H */
