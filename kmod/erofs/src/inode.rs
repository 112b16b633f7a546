// SPDX-License-Identifier: GPL-2.0

//! Inodes: parsing and checks (docs/spec/erofs-format.md section 4).

use zerocopy::FromBytes as _;

use crate::raw::{self, chunk, format, mode};
use crate::{Defect, Error, Source, Space, SuperBlock};

/// Size of a compact inode, and of the first half of an extended one.
const HALF: usize = 32;
/// Size of an extended inode.
const FULL: u64 = 64;
/// Size of the attribute header, in bytes.
pub(crate) const XATTR_HEADER: u64 = 12;

/// Data layout of an inode. Compressed inodes are rejected before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A run of blocks, or a hole.
    FlatPlain,
    /// A run of blocks, and a tail after the inode.
    FlatInline,
    /// A chunk map after the inode.
    ChunkBased,
}

/// Data layout as encoded in `i_format`.
#[derive(Clone, Copy)]
enum OnDisk {
    Readable(Layout),
    Compressed,
}

impl OnDisk {
    /// Checks all bits of `i_format` (docs/spec/erofs-format.md section 4.1).
    #[inline]
    fn of(format: u16) -> Result<Self, Defect> {
        if format & !format::KNOWN != 0 {
            return Err(Defect::InodeFormat);
        }
        match (format >> format::LAYOUT_SHIFT) & format::LAYOUT_MASK {
            0 => Ok(Self::Readable(Layout::FlatPlain)),
            2 => Ok(Self::Readable(Layout::FlatInline)),
            4 => Ok(Self::Readable(Layout::ChunkBased)),
            1 | 3 => Ok(Self::Compressed),
            _ => Err(Defect::InodeLayout),
        }
    }
}

/// Highest index of a directory's block.
const MAX_DIR_BLOCK: u64 = i32::MAX as u64;

/// Start block of an inode whose data is a single hole. Not a 48-bit number, so it cannot collide
/// with a start block.
const NULL_START: u64 = u64::MAX;

/// An inode that passed every check of docs/spec/erofs-format.md section 4.4, except that of a fast
/// symbolic link's target (see [`Inode::fast_symlink`]).
///
/// Takes 64 bytes and is embedded in the kernel's inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Its nid.
    pub nid: u64,
    /// Size of the data in bytes, at most 2^63 - 1.
    pub size: u64,
    /// Modification time in seconds since 1970. Access and change times are the same.
    pub mtime: i64,
    /// Offset of the data after the attributes, in the inode's space.
    base: u64,
    /// Start block, [`NULL_START`], device number or chunk format.
    start: u64,
    /// Nanoseconds of `mtime`. Not checked: may be 10^9 or more.
    pub mtime_nsec: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count; may be 0.
    pub nlink: u32,
    /// Type and permissions, as in `st_mode`. The type is valid.
    pub mode: u16,
    /// 0 for no attributes; otherwise their area has 12 + 4 * (n - 1) bytes.
    xattr_icount: u16,
    /// Data layout.
    pub layout: Layout,
    /// True if the directory has no "." entry.
    pub dot_omitted: bool,
}

/// Fields common to both versions, at their full widths.
struct Fields {
    format: u16,
    xattr_icount: u16,
    mode: u16,
    nb: u16,
    u: u32,
    size: u64,
    mtime: i64,
    mtime_nsec: u32,
    uid: u32,
    gid: u32,
    /// Full link count of an extended inode; a compact one has it in `nb`.
    nlink: Option<u32>,
    body: u64,
}

impl Inode {
    /// Reads and checks the inode `nid`.
    ///
    /// # Errors
    ///
    /// The first check of docs/spec/erofs-format.md section 4.4 that fails. A compressed inode
    /// yields [`Defect::Compressed`] (EOPNOTSUPP) if it has no other defect.
    pub fn read<S: Source>(src: &S, sb: &SuperBlock, nid: u64) -> Result<Self, Error<S::Error>> {
        let (space, offset) = sb.nid_location(nid)?;
        // A single read usually suffices. A compact inode at the end of the image is followed by fewer
        // bytes; then only its half is read.
        let mut bytes = [0; 2 * HALF];
        let whole = src.read(space, offset, &mut bytes);
        let (head, tail) = bytes.split_at_mut(HALF);
        if whole.is_err() {
            src.read(space, offset, head)?;
        }
        let (Ok(head), Ok(tail)) = (
            <&[u8; HALF]>::try_from(&*head),
            <&[u8; HALF]>::try_from(&*tail),
        ) else {
            return Err(Defect::OutsideImage.into());
        };

        let [format0, format1, ..] = *head;
        let format = u16::from_le_bytes([format0, format1]);
        let layout = OnDisk::of(format)?;
        let fields = if format & format::EXTENDED != 0 {
            offset.checked_add(HALF as u64).ok_or(Defect::NidOverflow)?;
            whole?;
            Fields::extended(head, tail)
        } else {
            Fields::compact(head, sb)
        };
        // Never `None`: the sizes are equal and the alignment is 1.
        let fields = fields.ok_or(Defect::OutsideImage)?;
        Ok(Self::from_fields(&fields, sb, layout, nid, offset)?)
    }

    /// Checks the fields in the order of docs/spec/erofs-format.md section 4.4.
    #[inline]
    fn from_fields(
        f: &Fields,
        sb: &SuperBlock,
        layout: OnDisk,
        nid: u64,
        offset: u64,
    ) -> Result<Self, Defect> {
        if f.size > i64::MAX as u64 {
            return Err(Defect::NegativeSize);
        }
        let file_type = f.mode & mode::MASK;
        if !matches!(
            file_type,
            mode::REG | mode::DIR | mode::LNK | mode::CHR | mode::BLK | mode::FIFO | mode::SOCK
        ) {
            return Err(Defect::InodeType);
        }
        let is_dir = file_type == mode::DIR;
        if is_dir && f.size.saturating_sub(1).wrapping_shr(sb.block_bits()) > MAX_DIR_BLOCK {
            return Err(Defect::DirTooBig);
        }
        let layout = match layout {
            OnDisk::Readable(layout) => layout,
            OnDisk::Compressed => return Err(Defect::Compressed),
        };
        let bit4 = f.format & format::BIT4 != 0;
        let (nlink, hi, null) = match f.nlink {
            Some(nlink) => (nlink, f.nb, (1u64 << 48) - 1),
            None if bit4 && !is_dir => (1, f.nb, (1u64 << 48) - 1),
            None => (u32::from(f.nb), 0, u64::from(u32::MAX)),
        };
        let block = u64::from(f.u) | u64::from(hi) << 32;
        let start = match layout {
            _ if matches!(file_type, mode::CHR | mode::BLK) => u64::from(f.u),
            Layout::FlatPlain if block == null => NULL_START,
            Layout::FlatPlain | Layout::FlatInline => block,
            Layout::ChunkBased => u64::from(f.u) & 0xffff,
        };
        if layout == Layout::ChunkBased && f.u as u16 & !chunk::KNOWN != 0 {
            return Err(Defect::ChunkFormat);
        }
        let base = offset
            .checked_add(f.body)
            .and_then(|end| end.checked_add(xattr_area(f.xattr_icount)))
            .ok_or(Defect::NidOverflow)?;

        Ok(Self {
            nid,
            size: f.size,
            mtime: f.mtime,
            base,
            start,
            mtime_nsec: f.mtime_nsec,
            uid: f.uid,
            gid: f.gid,
            nlink,
            mode: f.mode,
            xattr_icount: f.xattr_icount,
            layout,
            dot_omitted: is_dir && bit4,
        })
    }

    /// True for a directory.
    #[inline]
    pub fn is_dir(&self) -> bool {
        self.mode & mode::MASK == mode::DIR
    }

    /// True for a regular file.
    #[inline]
    pub fn is_regular(&self) -> bool {
        self.mode & mode::MASK == mode::REG
    }

    /// True for a symbolic link.
    #[inline]
    pub fn is_symlink(&self) -> bool {
        self.mode & mode::MASK == mode::LNK
    }

    /// Major (12 bits) and minor (20 bits) number of a character or block device; (0, 0) for other
    /// types (docs/spec/erofs-format.md section 8).
    #[inline]
    pub fn rdev(&self) -> (u32, u32) {
        if !matches!(self.mode & mode::MASK, mode::CHR | mode::BLK) {
            return (0, 0);
        }
        let v = self.start as u32;
        ((v & 0xf_ff00) >> 8, (v & 0xff) | ((v >> 12) & 0xf_ff00))
    }

    /// `st_blocks`: the size rounded up to a block, in units of 512 bytes.
    #[inline]
    pub fn sectors(&self, sb: &SuperBlock) -> u64 {
        // The size is below 2^63, so rounding it up stays below 2^64.
        sb.round_up(self.size).unwrap_or(0) >> 9
    }

    /// Space of the inode and of the data after it.
    #[inline]
    pub fn space(&self) -> Space {
        if self.nid >> 63 == 0 {
            Space::Primary
        } else {
            Space::Metabox
        }
    }

    /// Offset, in [`Self::space`], of the data after the attributes: the inline tail or the chunk
    /// map.
    #[inline]
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Size of the attribute area in bytes; 0 without attributes.
    #[inline]
    pub(crate) fn xattr_size(&self) -> u64 {
        xattr_area(self.xattr_icount)
    }

    /// True if the inode has an attribute area.
    #[inline]
    pub fn has_xattrs(&self) -> bool {
        self.xattr_icount != 0
    }

    /// First block of a flat file; `None` if it is a single hole.
    #[inline]
    pub(crate) fn start_block(&self) -> Option<u64> {
        (self.start != NULL_START).then_some(self.start)
    }

    /// Chunk format. Only the bits of [`chunk`] can be set.
    #[inline]
    pub(crate) fn chunk_format(&self) -> u16 {
        self.start as u16
    }

    /// Location of a fast symbolic link's target: space, offset, and size in bytes, which is less
    /// than a block (docs/spec/erofs-format.md section 7). `None` for a slow link, whose target is
    /// its data, and for other types.
    ///
    /// The bytes must pass [`check_fast_symlink`] before the inode becomes visible.
    pub fn fast_symlink(&self, sb: &SuperBlock) -> Option<(Space, u64, u32)> {
        if !self.is_symlink() || self.layout != Layout::FlatInline {
            return None;
        }
        // Offset of the body's end within the block of its last byte: 1 to BS.
        let body_end = self.base.checked_sub(self.xattr_size())?;
        let in_block = (body_end.checked_sub(1)? & sb.block_mask()).checked_add(1)?;
        let end = in_block
            .checked_add(self.xattr_size())?
            .checked_add(self.size)?;
        if end > u64::from(sb.block_size()) {
            return None;
        }
        Some((self.space(), self.base, u32::try_from(self.size).ok()?))
    }
}

/// True if `bytes` contains NUL. The search of `core` may panic.
#[allow(clippy::manual_contains)]
fn has_nul(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte == 0)
}

/// Checks the target of a fast symbolic link.
///
/// # Errors
///
/// [`Defect::EmptySymlink`], [`Defect::SymlinkNul`].
pub fn check_fast_symlink(target: &[u8]) -> Result<(), Defect> {
    if target.is_empty() {
        Err(Defect::EmptySymlink)
    } else if has_nul(target) {
        Err(Defect::SymlinkNul)
    } else {
        Ok(())
    }
}

impl Fields {
    #[inline]
    fn compact(bytes: &[u8; HALF], sb: &SuperBlock) -> Option<Self> {
        let raw = raw::Compact::ref_from_bytes(bytes).ok()?;
        Some(Self {
            format: raw.format.get(),
            xattr_icount: raw.xattr_icount.get(),
            mode: raw.mode.get(),
            nb: raw.nb.get(),
            u: raw.u.get(),
            size: u64::from(raw.size.get()),
            // An epoch near the maximum wraps, as in C.
            mtime: sb.epoch().wrapping_add(i64::from(raw.mtime.get())),
            mtime_nsec: sb.fixed_nsec(),
            uid: u32::from(raw.uid.get()),
            gid: u32::from(raw.gid.get()),
            nlink: None,
            body: HALF as u64,
        })
    }

    #[inline]
    fn extended(head: &[u8; HALF], tail: &[u8; HALF]) -> Option<Self> {
        let raw = raw::ExtendedHead::ref_from_bytes(head).ok()?;
        let tail = raw::ExtendedTail::ref_from_bytes(tail).ok()?;
        Some(Self {
            format: raw.format.get(),
            xattr_icount: raw.xattr_icount.get(),
            mode: raw.mode.get(),
            nb: raw.nb.get(),
            u: raw.u.get(),
            size: raw.size.get(),
            mtime: tail.mtime.get(),
            mtime_nsec: tail.mtime_nsec.get(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            nlink: Some(tail.nlink.get()),
            body: FULL,
        })
    }
}

/// Size of the attribute area in bytes (docs/spec/erofs-format.md section 4).
#[inline]
fn xattr_area(icount: u16) -> u64 {
    match u64::from(icount).checked_sub(1) {
        None => 0,
        // At most 12 + 4 * 65534.
        Some(words) => XATTR_HEADER.wrapping_add(words << 2),
    }
}
