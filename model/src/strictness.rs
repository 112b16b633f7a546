// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The one table of defects: what the C driver of Linux 7.3 does with each, what Ondine does, and why.
//!
//! The model takes every errno that it returns from here, `check` prints from here, and the differential tests read
//! here which disagreements between the drivers are intended (design rule 7). Section numbers are those of
//! spec/erofs-format.md.

use serde::Serialize;

use crate::observation::Errno;

/// What a reader does when it meets a defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The operation that meets it fails.
    Refuse(Errno),
    /// The operation succeeds; the text says with what.
    Tolerate(&'static str),
}

/// The operation that meets the defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// mount(2).
    Mount,
    /// The first lookup of the inode: every operation on the path fails.
    Inode,
    /// Finding a name in a directory.
    Lookup,
    /// getdents(2).
    Readdir,
    /// read(2), readlink(2), SEEK_DATA, or reading a directory's blocks.
    Read,
    /// listxattr(2) or getxattr(2); and open(2) or a lookup, if the inode is another user's and its ACL is asked for.
    Xattr,
    /// Nothing fails; `check` alone can tell.
    Never,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// The defect.
    pub defect: Defect,
    /// What meets it.
    pub when: When,
    /// The C driver of Linux 7.3, file-backed mount.
    pub c: Answer,
    /// Ondine and the model.
    pub ondine: Answer,
    /// Why Ondine does so; for rows on which both agree, what the rule is.
    pub reason: &'static str,
}

impl Row {
    /// Ondine departs from C here.
    pub fn departs(&self) -> bool {
        match (self.c, self.ondine) {
            (Answer::Refuse(c), Answer::Refuse(ours)) => c != ours,
            (Answer::Tolerate(_), Answer::Tolerate(_)) => false,
            _ => true,
        }
    }

    /// The errno that Ondine gives, if it refuses.
    pub fn errno(&self) -> Option<Errno> {
        match self.ondine {
            Answer::Refuse(errno) => Some(errno),
            Answer::Tolerate(_) => None,
        }
    }
}

impl Defect {
    /// The defect's row.
    pub fn row(self) -> &'static Row {
        let row = TABLE.iter().find(|row| row.defect == self);
        row.expect("a test holds the table complete")
    }
}

/// The rows on which Ondine and C differ.
pub fn departures() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(|row| row.departs())
}

macro_rules! table {
    ($($(#[$doc:meta])* $defect:ident, $when:ident, $c:expr, $ondine:expr, $reason:literal;)*) => {
        /// Something wrong with an image.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Defect { $($(#[$doc])* $defect,)* }

        impl Defect {
            /// Every defect, in the order of the table.
            pub const ALL: &'static [Defect] = &[$(Defect::$defect),*];
        }

        /// All rows, one per [`Defect`].
        pub const TABLE: &[Row] = &[$(Row {
            defect: Defect::$defect, when: When::$when, c: $c, ondine: $ondine, reason: $reason,
        }),*];
    };
}

const fn no(errno: Errno) -> Answer {
    Answer::Refuse(errno)
}

const fn yes(effect: &'static str) -> Answer {
    Answer::Tolerate(effect)
}

const EUCLEAN: Answer = no(Errno::EUCLEAN);
const EINVAL: Answer = no(Errno::EINVAL);
const EIO: Answer = no(Errno::EIO);
const EOPNOTSUPP: Answer = no(Errno::EOPNOTSUPP);

table! {
    // Superblock and mount (2.5, 3).
    /// The image ends before the superblock does.
    ImageTooShort, Mount, EIO, EIO, "there is nothing to read";
    /// Not 0xE0F5E1E2.
    Magic, Mount, EINVAL, EINVAL, "2.5 check 2";
    /// Outside 512 bytes..page size.
    BlockSize, Mount, EINVAL, EINVAL, "2.5 check 3";
    /// Directory blocks of another size.
    DirectoryBlockSize, Mount, EINVAL, EINVAL, "2.5 check 4";
    /// crc32c does not match and the image says it has one.
    Checksum, Mount, no(Errno::EBADMSG), no(Errno::EBADMSG), "2.3";
    /// A feature_incompat bit outside 0x1ff.
    IncompatibleFeature, Mount, EINVAL, EINVAL, "2.5 check 6: a bit that nobody knows may change anything";
    /// The superblock would not fit its page.
    SuperblockSize, Mount, EINVAL, EINVAL, "2.5 check 7";
    /// ishare_xattr_prefix_id names no prefix.
    SharePrefix, Mount, EUCLEAN, EUCLEAN, "2.5 check 8";
    /// METABOX without the superblock bytes that hold metabox_nid.
    MetaboxAbsent, Mount, EUCLEAN, EUCLEAN, "2.5 check 9";
    /// metabox_nid itself has bit 63.
    MetaboxInMetabox, Mount, EUCLEAN, EUCLEAN, "2.5 check 9: the metabox cannot hold itself";
    /// The image declares compression algorithms, or feature bit 0x1.
    CompressionDeclared, Mount, EOPNOTSUPP, yes("mounts; compressed inodes alone fail"),
        "mkfs.erofs 1.9.0 sets the bit on uncompressed images, and the rest of a mixed image is readable";
    /// `device=` options and slots differ in number.
    DeviceCount, Mount, EINVAL, EINVAL, "section 3";
    /// The device table does not fit the image.
    DeviceTableBeyondImage, Mount, EIO, EIO, "a short read of a file";
    /// The root inode is something else.
    RootNotDirectory, Mount, EINVAL, EINVAL, "2.5 check 15";
    /// A long prefix record that is empty or longer than 256 bytes.
    PrefixLength, Mount, EUCLEAN, EUCLEAN, "9.4";

    // Inodes (1, 4.4).
    /// The nid's byte address does not fit 64 bits.
    NidOverflow, Inode, yes("wraps: another inode appears under this nid"), EUCLEAN,
        "one inode under several numbers confuses hard links and caches; no valid image does it";
    /// Bit 63 of the nid, but no metabox is loaded.
    NidNeedsMetabox, Inode, EUCLEAN, EUCLEAN, "section 1";
    /// An inode, or what trails it, ends after the image does.
    MetadataBeyondImage, Inode, EIO, EIO, "a short read of a file (a block device would give zeros)";
    /// An inode, or what trails it, ends after the metabox's contents do.
    MetadataBeyondMetabox, Inode, yes("reads as zeros"), EUCLEAN, "metadata outside its space is no metadata";
    /// Metadata in the last, partial page of a file whose size is no multiple of the page size.
    MetadataInPartialPage, Inode, EIO, yes("is read"), "the bytes are there; C fails because it fetches whole pages";
    /// Bits 5..15 of i_format.
    InodeFormat, Inode, EOPNOTSUPP, EOPNOTSUPP, "4.1";
    /// Data layout 5, 6 or 7.
    DataLayout, Inode, EOPNOTSUPP, EOPNOTSUPP, "4.1";
    /// i_size is negative as a signed number.
    NegativeSize, Inode, EUCLEAN, EUCLEAN, "4.4";
    /// The mode's type bits are no type.
    FileType, Inode, EUCLEAN, EUCLEAN, "4.4";
    /// A short inline link target that is empty or holds a NUL.
    FastSymlink, Inode, EUCLEAN, EUCLEAN, "section 7";
    /// Layout 1 or 3. A packed inode that is compressed, and holds no prefixes, does not keep the image from mounting.
    Compressed, Inode, EUCLEAN, EOPNOTSUPP,
        "the image is sound, this reader lacks the feature; EUCLEAN would send people to look for corruption";
    /// Bits 7..15 of a chunk format.
    ChunkFormat, Inode, EOPNOTSUPP, EOPNOTSUPP, "5.4";

    // Data (5).
    /// An inline tail that would cross the end of its block.
    InlineTail, Read, EUCLEAN, EUCLEAN, "5.2; met when data is read, not when the inode is loaded";
    /// A device id above the number of slots.
    UnknownDevice, Read, no(Errno::ENODEV), no(Errno::ENODEV), "section 3";
    /// An extent that ends beyond block 2^48, or a byte address beyond 2^64.
    AddressOverflow, Read, EIO, EUCLEAN,
        "C computes a wrapped or huge address and fails somewhere below; the image is wrong, not the device";
    /// Bytes of a file that lie after the device's end.
    DataBeyondDevice, Read, EIO, EIO, "a short read";
    /// The device ends inside the last block of a file, behind the file's last byte.
    DataInPartialBlock, Read, EIO, yes("is read"),
        "the bytes are there; C fails because it fetches whole blocks (5.3)";
    /// A run that begins outside and ends inside the unified range of a slot, or the other way round.
    UnifiedEdge, Never, yes("the first byte decides for all"), yes("each byte resolves by itself"),
        "no valid image has one, and an address means the same wherever a read begins";

    // Directories (6).
    /// The first name offset of a block is 0, no multiple of 12, or beyond the block (readdir).
    DirentFirst, Readdir, EUCLEAN, EUCLEAN, "6.2";
    /// A name of 0 or more than 255 bytes, or one that leaves the block (readdir).
    DirentName, Readdir, EUCLEAN, EUCLEAN, "6.2";
    /// The first name offset of a block is 0.
    LookupEmptyBlock, Lookup, EUCLEAN, EUCLEAN, "6.1: the only failure that C's lookup knows";
    /// A name offset that a lookup meets breaks a rule of 6.2.
    LookupDirent, Lookup, yes("the offset is masked; some name is compared, and may match"), EUCLEAN,
        "lookup must not find what readdir refuses to list";
    /// A `/` in a name.
    SlashInName, Readdir, EIO, EIO, "the VFS refuses it in getdents";
    /// A directory that is its own ancestor.
    DirectoryCycle, Lookup, no(Errno::ELOOP), no(Errno::ELOOP), "the VFS refuses the second alias";
    /// Names out of order.
    UnsortedDirectory, Never, yes("lookups miss names"), yes("lookups miss names, maybe others"),
        "finding it costs a scan, and a search that knows a block's last name reads fewer blocks";
    /// One name twice in a directory.
    DuplicateName, Never, yes("one of them is found"), yes("one of them is found, maybe another"), "finding it costs a scan";
    /// An entry's type is not the inode's.
    DirentType, Never, yes("d_type is wrong"), yes("d_type is wrong"), "d_type is a hint";
    /// `.` (unless omitted) or `..` is missing or leads elsewhere.
    DotEntries, Never, yes("getdents shows it"), yes("getdents shows it"), "path walk does not use them";

    // Extended attributes (9).
    /// i_xattr_icount is 1.
    XattrCountOne, Xattr, EOPNOTSUPP, EOPNOTSUPP, "9.1";
    /// The shared ids do not fit the area.
    XattrSharedCount, Xattr, EUCLEAN, EUCLEAN, "9.1";
    /// An inline entry does not fit the rest of the area.
    XattrEntry, Xattr, EUCLEAN, EUCLEAN, "9.1";
    /// The shared area is said to be in a metabox that is not there.
    XattrNeedsMetabox, Xattr, EUCLEAN, EUCLEAN, "9.2";
    /// A shared entry ends after the image does.
    XattrBeyondImage, Xattr, EIO, EIO, "a short read of a file";
    /// The name filter denies an attribute that is there.
    XattrFilter, Never, yes("the attribute is listed and cannot be read"), yes("the same"), "the filter's purpose";

    // Tolerated by both: found by `check` only (12.2).
    /// A nanosecond count of 10^9 or more.
    Nanoseconds, Never, yes("passed through"), yes("passed through"), "stat(2) shows what the image says";
    /// A link count that is not the number of names.
    LinkCount, Never, yes("passed through"), yes("passed through"), "needs a walk of the whole tree";
    /// A feature is used whose superblock bit is not set.
    FeatureBit, Never, yes("works"), yes("works"), "real images rely on it (2.2)";
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
