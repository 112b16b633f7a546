// SPDX-License-Identifier: GPL-2.0

//! Extended attributes of an inode (docs/spec/erofs-format.md section 9).

use crate::inode::XATTR_HEADER;
use crate::xxh32::xxh32;
use crate::{Defect, Error, Inode, PrefixTable, Source, Space, SuperBlock};

/// Maximum length of a name after the short prefix, in bytes.
pub const SUFFIX_MAX: usize = 255;
/// Maximum size of an entry's suffix; size of the scratch buffer of [`list`].
pub const SCRATCH: usize = 256;

/// Name indexes of the short prefixes (docs/spec/erofs-format.md section 9.3).
pub mod index {
    /// `user.`
    pub const USER: u8 = 1;
    /// `system.posix_acl_access`, the complete name.
    pub const POSIX_ACL_ACCESS: u8 = 2;
    /// `system.posix_acl_default`, the complete name.
    pub const POSIX_ACL_DEFAULT: u8 = 3;
    /// `trusted.`
    pub const TRUSTED: u8 = 4;
    /// `security.`
    pub const SECURITY: u8 = 6;
}

/// Seed of the filter's hash, to which the name index is added.
const FILTER_SEED: u32 = 0x25bb_e08f;
/// Size of an entry's header in bytes.
const ENTRY_HEADER: u64 = 4;
/// Bit of an entry's name index; the other bits are the id of a long prefix.
const LONG_PREFIX: u8 = 0x80;

/// Short prefix of a name index; `None` for one that is never shown.
pub const fn short_prefix(name_index: u8) -> Option<&'static str> {
    match name_index {
        index::USER => Some("user."),
        index::POSIX_ACL_ACCESS => Some("system.posix_acl_access"),
        index::POSIX_ACL_DEFAULT => Some("system.posix_acl_default"),
        index::TRUSTED => Some("trusted."),
        index::SECURITY => Some("security."),
        _ => None,
    }
}

/// Name of an attribute in its stored pieces: the short prefix of `index`, `infix`, and `suffix`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// Name index of the short prefix; see [`short_prefix`].
    pub index: u8,
    /// Infix of a long prefix, 0 to 255 bytes.
    pub infix: &'a [u8],
    /// Name stored in the entry, 0 to 255 bytes.
    pub suffix: &'a [u8],
}

/// Reads attribute `name`, given without the short prefix of `name_index`, of `inode`.
///
/// Returns the size of the value, at most 65535 bytes, and stores the value at the start of the
/// buffer, if there is one.
///
/// # Errors
///
/// [`Defect::NoAttribute`]; [`Defect::AttributeRange`] if the name is longer than 255 bytes or the
/// buffer shorter than the value; the defects of docs/spec/erofs-format.md section 9.1; or errors
/// of the source.
pub fn get<S, P>(
    src: &S,
    sb: &SuperBlock,
    inode: &Inode,
    prefixes: &P,
    name_index: u8,
    name: &[u8],
    buf: Option<&mut [u8]>,
) -> Result<usize, Error<S::Error>>
where
    S: Source,
    P: PrefixTable + ?Sized,
{
    let Some(area) = Area::read(src, inode)? else {
        return Err(Defect::NoAttribute.into());
    };
    if name.len() > SUFFIX_MAX {
        return Err(Defect::AttributeRange.into());
    }
    if sb.has_xattr_filter() {
        let hash = xxh32(name, FILTER_SEED.wrapping_add(u32::from(name_index)));
        if area.filter & 1u32.wrapping_shl(hash & 31) != 0 {
            return Err(Defect::NoAttribute.into());
        }
    }

    let mut walk = Walk::new(&area);
    while let Some(entry) = walk.next(src, sb)? {
        if entry.matches(src, prefixes, name_index, name)? {
            return entry.value(src, buf);
        }
    }
    Err(Defect::NoAttribute.into())
}

/// Passes every attribute name of `inode` to `sink`, inline ones first.
///
/// Names with an index without prefix are skipped. The sink decides if the caller may see
/// `trusted.` names. An error of the sink ends the walk. `scratch` holds the suffix of one name at
/// a time.
///
/// # Errors
///
/// The defects of docs/spec/erofs-format.md section 9.1, or errors of the source or the sink.
pub fn list<S, P, F>(
    src: &S,
    sb: &SuperBlock,
    inode: &Inode,
    prefixes: &P,
    scratch: &mut [u8; SCRATCH],
    mut sink: F,
) -> Result<(), Error<S::Error>>
where
    S: Source,
    P: PrefixTable + ?Sized,
    F: FnMut(Name<'_>) -> Result<(), Error<S::Error>>,
{
    let Some(area) = Area::read(src, inode)? else {
        return Ok(());
    };
    let mut walk = Walk::new(&area);
    while let Some(entry) = walk.next(src, sb)? {
        let Some((index, infix)) = entry.prefix(prefixes) else {
            continue;
        };
        if short_prefix(index).is_none() {
            continue;
        }
        let suffix = scratch
            .get_mut(..usize::from(entry.name_len))
            .unwrap_or_default();
        src.read(entry.space, entry.name_offset(), suffix)?;
        sink(Name {
            index,
            infix,
            suffix,
        })?;
    }
    Ok(())
}

/// The attribute area after an inode.
struct Area {
    space: Space,
    filter: u32,
    shared_count: u8,
    /// Offset of the shared ids.
    ids: u64,
    /// End of the area and of the inline entries.
    end: u64,
}

impl Area {
    /// Reads the header; `None` if the inode has no attributes.
    fn read<S: Source>(src: &S, inode: &Inode) -> Result<Option<Self>, Error<S::Error>> {
        let size = inode.xattr_size();
        if size == 0 {
            return Ok(None);
        }
        if size == XATTR_HEADER {
            return Err(Defect::XattrHeaderOnly.into());
        }
        let space = inode.space();
        let end = inode.base();
        let start = end.saturating_sub(size);
        let mut header = [0; 5];
        src.read(space, start, &mut header)?;
        let [f0, f1, f2, f3, shared_count] = header;
        let area = Self {
            space,
            filter: u32::from_le_bytes([f0, f1, f2, f3]),
            shared_count,
            ids: start.saturating_add(XATTR_HEADER),
            end,
        };
        if area.entries() > end {
            return Err(Defect::XattrSharedCount.into());
        }
        Ok(Some(area))
    }

    /// Offset of the inline entries.
    #[inline]
    fn entries(&self) -> u64 {
        self.ids.saturating_add(u64::from(self.shared_count) << 2)
    }
}

/// An attribute, inline or shared.
struct Entry {
    space: Space,
    offset: u64,
    name_len: u8,
    name_index: u8,
    value_size: u16,
}

impl Entry {
    fn read<S: Source>(src: &S, space: Space, offset: u64) -> Result<Self, Error<S::Error>> {
        let mut header = [0; 4];
        src.read(space, offset, &mut header)?;
        let [name_len, name_index, v0, v1] = header;
        Ok(Self {
            space,
            offset,
            name_len,
            name_index,
            value_size: u16::from_le_bytes([v0, v1]),
        })
    }

    /// Size of the entry, padded to a multiple of 4 bytes.
    #[inline]
    fn size(&self) -> u64 {
        let size = ENTRY_HEADER
            .wrapping_add(u64::from(self.name_len))
            .wrapping_add(u64::from(self.value_size));
        size.wrapping_add(3) & !3
    }

    #[inline]
    fn name_offset(&self) -> u64 {
        self.offset.saturating_add(ENTRY_HEADER)
    }

    /// Index of the short prefix, and the infix; `None` for a long prefix that does not exist.
    #[inline]
    fn prefix<'p, P: PrefixTable + ?Sized>(&self, prefixes: &'p P) -> Option<(u8, &'p [u8])> {
        if self.name_index & LONG_PREFIX == 0 {
            return Some((self.name_index, &[]));
        }
        let prefix = prefixes.prefix(self.name_index & !LONG_PREFIX)?;
        Some((prefix.base_index, prefix.infix))
    }

    /// True if this is the attribute `name_index` + `name`.
    fn matches<S, P>(
        &self,
        src: &S,
        prefixes: &P,
        name_index: u8,
        name: &[u8],
    ) -> Result<bool, Error<S::Error>>
    where
        S: Source,
        P: PrefixTable + ?Sized,
    {
        let Some((index, infix)) = self.prefix(prefixes) else {
            return Ok(false);
        };
        if index != name_index || short_prefix(index).is_none() {
            return Ok(false);
        }
        let Some(wanted) = name.strip_prefix(infix) else {
            return Ok(false);
        };
        if wanted.len() != usize::from(self.name_len) {
            return Ok(false);
        }
        let mut offset = self.name_offset();
        let mut buf = [0; 64];
        for piece in wanted.chunks(64) {
            let found = buf.get_mut(..piece.len()).unwrap_or_default();
            src.read(self.space, offset, found)?;
            if found != piece {
                return Ok(false);
            }
            offset = offset.saturating_add(64);
        }
        Ok(true)
    }

    /// Returns the size of the value, and stores the value if there is a buffer.
    fn value<S: Source>(&self, src: &S, buf: Option<&mut [u8]>) -> Result<usize, Error<S::Error>> {
        let size = usize::from(self.value_size);
        if let Some(buf) = buf {
            let value = buf.get_mut(..size).ok_or(Defect::AttributeRange)?;
            let offset = self.name_offset().saturating_add(u64::from(self.name_len));
            src.read(self.space, offset, value)?;
        }
        Ok(size)
    }
}

/// Iterator over the inline entries, then over the shared ones.
struct Walk<'a> {
    area: &'a Area,
    /// Offset of the next inline entry.
    inline: u64,
    /// Index of the next shared id.
    shared: u8,
}

impl<'a> Walk<'a> {
    #[inline]
    fn new(area: &'a Area) -> Self {
        Self {
            area,
            inline: area.entries(),
            shared: 0,
        }
    }

    fn next<S: Source>(
        &mut self,
        src: &S,
        sb: &SuperBlock,
    ) -> Result<Option<Entry>, Error<S::Error>> {
        let left = self.area.end.saturating_sub(self.inline);
        if left != 0 {
            // All sizes are multiples of 4, so a header fits.
            let entry = Entry::read(src, self.area.space, self.inline)?;
            if entry.size() > left {
                return Err(Defect::XattrOverrun.into());
            }
            self.inline = self.inline.saturating_add(entry.size());
            return Ok(Some(entry));
        }
        if self.shared >= self.area.shared_count {
            return Ok(None);
        }
        let mut id = [0; 4];
        let offset = u64::from(self.shared) << 2;
        src.read(
            self.area.space,
            self.area.ids.saturating_add(offset),
            &mut id,
        )?;
        self.shared = self.shared.saturating_add(1);
        let (space, base) = sb.shared_xattrs()?;
        // 48 and 34 bits: no overflow.
        let offset = base.wrapping_add(u64::from(u32::from_le_bytes(id)) << 2);
        Entry::read(src, space, offset).map(Some)
    }
}
