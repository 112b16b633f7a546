// SPDX-License-Identifier: GPL-2.0

//! The size of a cache file, and its record in an extended attribute.

use super::object::{Contents, Object};
use kernel::{alloc::flags::__GFP_NOWARN, page::PAGE_SIZE, prelude::*};
use ondine_ondemand::{page::pages_of, presence::words_for, sync::AtomicU64};

/// The attribute that records the size, as the C driver of cachefiles does: be64
/// size, be64 0, type, content.
const SIZE_ATTRIBUTE: &CStr = c"user.CacheFiles.cache";
const SIZE_ATTRIBUTE_LEN: usize = 18;
/// Type and content of a cache file that holds data.
const SIZE_ATTRIBUTE_KIND: [u8; 2] = [1, 0];

impl Object {
    /// Sets the size that the daemon tells, in bytes.
    ///
    /// The first time this makes the cache file that long, and seeds the presence
    /// record from its extents. A file that was made for another size is emptied
    /// first: its bytes belong to other contents.
    ///
    /// # Errors
    ///
    /// EINVAL if it is not the size that was told before; EFBIG, ENOMEM; errors of
    /// the file system.
    pub(super) fn set_size(&self, size: u64) -> Result {
        let _sizing = self.sizing.lock();
        if let Some(contents) = self.contents() {
            return if contents.size() == size {
                Ok(())
            } else {
                Err(EINVAL)
            };
        }
        let file = self.file();
        let room = pages_of(size).checked_mul(PAGE_SIZE as u64).ok_or(EFBIG)?;
        if file.size() != 0 && self.recorded_size()? != Some(size) {
            file.resize(0)?;
        }
        self.record_size(size)?;
        if file.size() != room {
            file.resize(room)?;
        }
        // After the resize, by which the file system has refused absurd sizes.
        let contents = new_contents(size)?;
        // No writes race with this: they need the contents.
        for extent in file.extents()? {
            contents.add(extent.start, extent.end.saturating_sub(extent.start));
        }
        self.contents.populate(contents);
        Ok(())
    }

    /// The size that the cache file was made for; `None` if there is no record.
    ///
    /// # Errors
    ///
    /// Errors of the file system: they are no reason to empty a file.
    fn recorded_size(&self) -> Result<Option<u64>> {
        let mut value = [0u8; SIZE_ATTRIBUTE_LEN];
        match self.file().attribute(SIZE_ATTRIBUTE, &mut value) {
            Ok(SIZE_ATTRIBUTE_LEN) if value.get(16) == SIZE_ATTRIBUTE_KIND.first() => {
                let size = value.first_chunk();
                Ok(size.map(|bytes| u64::from_be_bytes(*bytes)))
            }
            Ok(_) => Ok(None),
            Err(error) if error == ENODATA || error == ERANGE => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Overwrites the record of the size, so that the next object of the file empties it.
    ///
    /// # Errors
    ///
    /// Errors of the file system.
    pub(super) fn void_size(&self) -> Result {
        let none = [0u8; SIZE_ATTRIBUTE_LEN];
        self.file().set_attribute(SIZE_ATTRIBUTE, &none)
    }

    fn record_size(&self, size: u64) -> Result {
        let mut value = [0u8; SIZE_ATTRIBUTE_LEN];
        if let Some(bytes) = value.first_chunk_mut() {
            *bytes = size.to_be_bytes();
        }
        if let Some(bytes) = value.last_chunk_mut() {
            *bytes = SIZE_ATTRIBUTE_KIND;
        }
        self.file().set_attribute(SIZE_ATTRIBUTE, &value)
    }
}

/// The contents of an object of `size` bytes without any pages.
///
/// # Errors
///
/// ENOMEM; EFBIG if no file can be that large.
fn new_contents(size: u64) -> Result<Contents> {
    let count = words_for(pages_of(size));
    // The daemon chooses the count: a failure is no news for the log.
    let mut words = KVVec::with_capacity(count, GFP_KERNEL | __GFP_NOWARN)?;
    for _ in 0..count {
        words.push(AtomicU64::new(0), GFP_KERNEL)?;
    }
    Contents::new(size, words).ok_or(EFBIG)
}
