// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Table of defects: the behaviour of the C driver of Linux 7.3, that of Ondine, and the reason.
//!
//! The model takes every errno that it returns from here, `check` prints from here, and the
//! differential tests take the intended disagreements between the drivers from here. Reasons refer
//! to sections of docs/spec/erofs-format.md.

use serde::Serialize;

use crate::observation::Errno;

/// Reaction of a reader to a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// The operation fails.
    Refuse(Errno),
    /// The operation succeeds, with this effect.
    Tolerate(&'static str),
}

/// Operation that encounters the defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// mount(2).
    Mount,
    /// The first lookup of the inode: every operation on the path fails.
    Inode,
    /// Lookup of a name in a directory.
    Lookup,
    /// getdents(2).
    Readdir,
    /// read(2), readlink(2), SEEK_DATA, or reading a directory's blocks.
    Read,
    /// listxattr(2) or getxattr(2); also open(2) or a lookup if the inode has another owner,
    /// because its ACL is read.
    Xattr,
    /// No operation fails; only `check` reports it.
    Never,
}

/// A row of the table of defects.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DefectRow {
    /// Operation that encounters it.
    pub defect: Defect,
    /// Operation that encounters it.
    pub when: When,
    /// Behaviour of the C driver of Linux 7.3 on a file-backed mount.
    pub c: Reaction,
    /// Behaviour of Ondine and the model.
    pub ondine: Reaction,
    /// Reason for Ondine's behaviour, or the rule if both agree.
    pub reason: &'static str,
}

impl DefectRow {
    /// True if Ondine departs from C.
    pub fn departs(&self) -> bool {
        match (self.c, self.ondine) {
            (Reaction::Refuse(c), Reaction::Refuse(ours)) => c != ours,
            (Reaction::Tolerate(_), Reaction::Tolerate(_)) => false,
            _ => true,
        }
    }

    /// The errno that Ondine gives, if it refuses.
    pub fn errno(&self) -> Option<Errno> {
        match self.ondine {
            Reaction::Refuse(errno) => Some(errno),
            Reaction::Tolerate(_) => None,
        }
    }
}

impl Defect {
    /// The defect's row.
    pub fn row(self) -> &'static DefectRow {
        let row = TABLE.iter().find(|row| row.defect == self);
        row.expect("a test holds the table complete")
    }
}

/// Rows in which Ondine and C differ.
pub fn departures() -> impl Iterator<Item = &'static DefectRow> {
    TABLE.iter().filter(|row| row.departs())
}

macro_rules! table {
    ($($(#[$doc:meta])* $defect:ident, $when:ident, $c:expr, $ondine:expr, $reason:literal;)*) => {
        /// A defect of an image.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Defect { $($(#[$doc])* $defect,)* }

        impl Defect {
            /// Every defect, in the order of the table.
            pub const ALL: &'static [Defect] = &[$(Defect::$defect),*];
        }

        /// All rows, one per [`Defect`].
        pub const TABLE: &[DefectRow] = &[$(DefectRow {
            defect: Defect::$defect, when: When::$when, c: $c, ondine: $ondine, reason: $reason,
        }),*];
    };
}

const fn no(errno: Errno) -> Reaction {
    Reaction::Refuse(errno)
}

const fn yes(effect: &'static str) -> Reaction {
    Reaction::Tolerate(effect)
}

const EUCLEAN: Reaction = no(Errno::EUCLEAN);
const EINVAL: Reaction = no(Errno::EINVAL);
const EIO: Reaction = no(Errno::EIO);
const EOPNOTSUPP: Reaction = no(Errno::EOPNOTSUPP);

table! {
    // Superblock and mount (sections 2.5 and 3).
    /// The image ends before the superblock does.
    ImageTooShort, Mount, EIO, EIO, "the bytes do not exist";
    /// The magic is not 0xE0F5E1E2.
    Magic, Mount, EINVAL, EINVAL, "section 2.5 check 2";
    /// The block size is not within 512 bytes..page size.
    BlockSize, Mount, EINVAL, EINVAL, "section 2.5 check 3";
    /// Directory blocks have another size than data blocks.
    DirectoryBlockSize, Mount, EINVAL, EINVAL, "section 2.5 check 4";
    /// The crc32c does not match although the image declares one.
    Checksum, Mount, no(Errno::EBADMSG), no(Errno::EBADMSG), "section 2.3";
    /// A feature_incompat bit outside 0x1ff is set.
    IncompatibleFeature, Mount, EINVAL, EINVAL, "section 2.5 check 6: an unknown bit may change any meaning";
    /// The superblock would not fit its page.
    SuperblockSize, Mount, EINVAL, EINVAL, "section 2.5 check 7";
    /// ishare_xattr_prefix_id names no prefix.
    SharePrefix, Mount, EUCLEAN, EUCLEAN, "section 2.5 check 8";
    /// METABOX without the superblock bytes that hold metabox_nid.
    MetaboxAbsent, Mount, EUCLEAN, EUCLEAN, "section 2.5 check 9";
    /// metabox_nid itself has bit 63.
    MetaboxInMetabox, Mount, EUCLEAN, EUCLEAN, "section 2.5 check 9: the metabox cannot hold itself";
    /// The image declares compression algorithms, or feature bit 0x1.
    CompressionDeclared, Mount, EOPNOTSUPP, yes("mounts; compressed inodes alone fail"),
        "mkfs.erofs 1.9.0 sets the bit on uncompressed images, and the rest of a mixed image is readable";
    /// `device=` options and slots differ in number.
    DeviceCount, Mount, EINVAL, EINVAL, "section 3";
    /// The device table does not fit the image.
    DeviceTableBeyondImage, Mount, EIO, EIO, "a short read of a file";
    /// The root inode is not a directory.
    RootNotDirectory, Mount, EINVAL, EINVAL, "section 2.5 check 15";
    /// A long prefix record that is empty or longer than 256 bytes.
    PrefixLength, Mount, EUCLEAN, EUCLEAN, "section 9.4";

    // Inodes (sections 1 and 4.4).
    /// The nid's byte address does not fit 64 bits.
    NidOverflow, Inode, yes("wraps: another inode appears under this nid"), EUCLEAN,
        "an inode with several numbers breaks hard links and caches; no valid image does this";
    /// Bit 63 of the nid is set, but no metabox is loaded.
    NidNeedsMetabox, Inode, EUCLEAN, EUCLEAN, "section 1";
    /// An inode, or the data after it, ends beyond the image.
    MetadataBeyondImage, Inode, EIO, EIO, "a short read of a file (a block device would give zeros)";
    /// An inode, or the data after it, ends beyond the metabox's contents.
    MetadataBeyondMetabox, Inode, yes("reads as zeros"), EUCLEAN, "bytes outside of the space are not metadata";
    /// Metadata in the last, partial page of a file whose size is no multiple of the page size.
    MetadataInPartialPage, Inode, EIO, yes("is read"), "the bytes are there; C fails because it fetches whole pages";
    /// Bits 5..15 of i_format are set.
    InodeFormat, Inode, EOPNOTSUPP, EOPNOTSUPP, "section 4.1";
    /// The data layout is 5, 6 or 7.
    DataLayout, Inode, EOPNOTSUPP, EOPNOTSUPP, "section 4.1";
    /// i_size is negative as a signed number.
    NegativeSize, Inode, EUCLEAN, EUCLEAN, "section 4.4";
    /// The type bits of the mode are invalid.
    FileType, Inode, EUCLEAN, EUCLEAN, "section 4.4";
    /// A directory has more than 2^31 blocks.
    DirectorySize, Inode, yes("loads; the number of blocks overflows, and lookups find nothing"), EUCLEAN,
        "section 6.1: such a directory cannot be searched, and a list without an end serves nobody";
    /// A short inline link target that is empty or holds a NUL.
    FastSymlink, Inode, EUCLEAN, EUCLEAN, "section 7";
    /// The layout is 1 or 3. A compressed packed inode without prefixes does not prevent mounting.
    Compressed, Inode, EUCLEAN, EOPNOTSUPP,
        "the image is sound and this reader lacks the feature; EUCLEAN would suggest corruption";
    /// Bits 7..15 of a chunk format are set.
    ChunkFormat, Inode, EOPNOTSUPP, EOPNOTSUPP, "section 5.4";

    // Data (section 5).
    /// An inline tail crosses the end of its block.
    InlineTail, Read, EUCLEAN, EUCLEAN, "section 5.2; met when data is read, not when the inode is loaded";
    /// A device id exceeds the number of slots.
    UnknownDevice, Read, no(Errno::ENODEV), no(Errno::ENODEV), "section 3";
    /// An extent ends beyond block 2^48, or a byte address beyond 2^64.
    AddressOverflow, Read, EIO, EUCLEAN,
        "C fails later at a wrapped or huge address; the image is wrong, not the device";
    /// Bytes of a file lie beyond the device's end.
    DataBeyondDevice, Read, EIO, EIO, "a short read";
    /// The device ends inside the last block of a file, after the file's last byte.
    DataInPartialBlock, Read, EIO, yes("is read"),
        "the bytes are there; C fails because it fetches whole blocks (section 5.3)";
    /// A run crosses an edge of the unified range of a slot.
    UnifiedEdge, Never, yes("the first byte decides for the whole run"), yes("each byte resolves by itself"),
        "no valid image has one, and an address means the same wherever a read begins";

    // Directories (section 6).
    /// The first name offset of a block is 0, no multiple of 12, or beyond the block (readdir).
    DirentFirst, Readdir, EUCLEAN, EUCLEAN, "section 6.2";
    /// A name has 0 or more than 255 bytes, or leaves the block (readdir).
    DirentName, Readdir, EUCLEAN, EUCLEAN, "section 6.2";
    /// The first name offset of a block is 0.
    LookupEmptyBlock, Lookup, EUCLEAN, EUCLEAN, "section 6.1: the only failure of C's lookup";
    /// A name offset met by a lookup violates a rule of section 6.2.
    LookupDirent, Lookup, yes("the offset is masked; some name is compared, and may match"), EUCLEAN,
        "lookup must not find what readdir refuses to list";
    /// A name contains `/`.
    SlashInName, Readdir, EIO, EIO, "the VFS refuses it in getdents";
    /// A directory is its own ancestor.
    DirectoryCycle, Lookup, no(Errno::ELOOP), no(Errno::ELOOP), "the VFS refuses the second alias";
    /// Names are out of order.
    UnsortedDirectory, Never, yes("lookups miss names"), yes("lookups miss names, maybe others"),
        "finding it costs a scan, and a search that knows a block's last name reads fewer blocks";
    /// A name occurs twice in a directory.
    DuplicateName, Never, yes("one of them is found"), yes("one of them is found, maybe another"), "finding it costs a scan";
    /// An entry's type differs from the inode's.
    DirentType, Never, yes("d_type is wrong"), yes("d_type is wrong"), "d_type is a hint";
    /// `.` (unless omitted) or `..` is missing or has the wrong nid.
    DotEntries, Never, yes("getdents shows it"), yes("getdents shows it"), "path walk does not use them";

    // Extended attributes (section 9).
    /// i_xattr_icount is 1.
    XattrCountOne, Xattr, EOPNOTSUPP, EOPNOTSUPP, "section 9.1";
    /// The shared ids do not fit the area.
    XattrSharedCount, Xattr, EUCLEAN, EUCLEAN, "section 9.1";
    /// An inline entry does not fit the rest of the area.
    XattrEntry, Xattr, EUCLEAN, EUCLEAN, "section 9.1";
    /// The shared area is in a metabox that does not exist.
    XattrNeedsMetabox, Xattr, EUCLEAN, EUCLEAN, "section 9.2";
    /// A shared entry ends beyond the image.
    XattrBeyondImage, Xattr, EIO, EIO, "a short read of a file";
    /// The name filter excludes an existing attribute.
    XattrFilter, Never, yes("the attribute is listed and cannot be read"), yes("the attribute is listed and cannot be read"), "the filter exists to skip such reads";

    // Tolerated by both, found only by `check` (section 12.2).
    /// A nanosecond count is 10^9 or more.
    Nanoseconds, Never, yes("passed through"), yes("passed through"), "stat(2) shows what the image says";
    /// A link count differs from the number of names.
    LinkCount, Never, yes("passed through"), yes("passed through"), "needs a walk of the whole tree";
    /// A feature is used without its superblock bit.
    FeatureBit, Never, yes("works"), yes("works"), "real images rely on it (section 2.2)";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_defect_has_exactly_one_row_with_a_reason() {
        for defect in Defect::ALL {
            assert_eq!(TABLE.iter().filter(|row| row.defect == *defect).count(), 1);
            assert!(!defect.row().reason.is_empty());
        }
    }

    #[test]
    fn a_defect_that_nothing_meets_is_tolerated_by_both() {
        for row in TABLE.iter().filter(|row| row.when == When::Never) {
            assert!(row.errno().is_none() && !row.departs(), "{:?}", row.defect);
        }
    }

    #[test]
    fn the_departures_are_the_ones_that_were_decided() {
        use Defect::*;
        let decided = [
            CompressionDeclared,
            NidOverflow,
            MetadataBeyondMetabox,
            MetadataInPartialPage,
            DirectorySize,
            Compressed,
            AddressOverflow,
            DataInPartialBlock,
            LookupDirent,
        ];
        assert_eq!(
            departures().map(|row| row.defect).collect::<Vec<_>>(),
            decided
        );
    }
}
