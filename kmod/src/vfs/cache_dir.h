/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Directories of cache files, and I/O on cache files, for cache_dir.rs.
 */
#ifndef ONDINE_CACHE_DIR_H
#define ONDINE_CACHE_DIR_H

#include <linux/fs.h>
#include <linux/uio.h>

int ondine_cache_dir_check(struct file *dir, const char **why);
struct file *ondine_cache_dir_tmpfile(struct file *dir, const char **why);
int ondine_cache_dir_free_space(struct file *dir, u64 *blocks, u64 *files);
int ondine_cache_dir_make_dir(struct file *dir, const char *name);
struct file *ondine_cache_dir_open(struct file *dir, const char *const *names, unsigned int count);
int ondine_cache_file_probe(struct file *file, const char **why);
ssize_t ondine_cache_file_write(struct file *file, struct iov_iter *iter, loff_t pos);
bool ondine_cache_file_is_in(struct file *file, struct file *dir);
bool ondine_cache_file_is_below(struct file *file, struct file *dir);
int ondine_cache_dir_remove(struct file *dir, struct file *file);
void ondine_cache_file_forget(struct file *file);
bool ondine_cache_file_is_cached(struct file *file);
loff_t ondine_cache_file_seek(struct file *file, loff_t offset, int whence);
int ondine_cache_file_punch(struct file *file, loff_t offset, loff_t len);
int ondine_cache_file_resize(struct file *file, loff_t size);
ssize_t ondine_cache_file_get_xattr(struct file *file, const char *name, void *value, size_t size);
int ondine_cache_file_set_xattr(struct file *file, const char *name, const void *value, size_t size);

#endif /* ONDINE_CACHE_DIR_H */
