// SPDX-License-Identifier: GPL-2.0

//! What can be wrong with an image, and which errno says so.

/// The error numbers that this crate gives out, by their Linux names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// Input or output failed.
    EIO = 5,
    /// No such device.
    ENODEV = 19,
    /// The image or an argument is not acceptable.
    EINVAL = 22,
    /// The name or the caller's buffer does not fit.
    ERANGE = 34,
    /// A name is longer than any the format can hold.
    ENAMETOOLONG = 36,
    /// No such attribute.
    ENODATA = 61,
    /// A checksum does not match.
    EBADMSG = 74,
    /// The image uses something that is not supported.
    EOPNOTSUPP = 95,
    /// The image contradicts itself.
    EUCLEAN = 117,
}

impl Errno {
    /// The positive number, as user space sees it in `errno`.
    #[inline]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// Defines [`Defect`] as one table of name, errno and sentence.
macro_rules! defects {
    ($($name:ident => $errno:ident, $message:literal;)*) => {
        /// One precise thing that is wrong with an image, or with a question
        /// asked of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $(#[doc = $message] $name,)*
        }

        impl Defect {
            /// Every defect, in the order of the table.
            pub const ALL: &'static [Defect] = &[$(Defect::$name,)*];

            /// The errno a caller sees for this defect.
            #[inline]
            pub const fn errno(self) -> Errno {
                match self {
                    $(Defect::$name => Errno::$errno,)*
                }
            }

            /// What is wrong, as the end of one log line.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Defect::$name => $message,)*
                }
            }
        }
    };
}

defects! {
    // Superblock, section 2.5.
    ImageTooShort => EIO, "image ends before its superblock does";
    BadMagic => EINVAL, "not an EROFS superblock (wrong magic)";
    BlockSize => EINVAL, "block size is not between 512 bytes and the page size";
    DirBlockSize => EINVAL, "directory block size differs from the block size";
    SuperChecksum => EBADMSG, "superblock checksum does not match";
    UnknownFeature => EINVAL, "image needs an incompatible feature this driver does not know";
    SuperTooLong => EINVAL, "superblock is longer than the page that holds it";
    SharePrefix => EUCLEAN, "page-sharing prefix is not in the attribute prefix table";
    MetaboxNoSlot => EUCLEAN, "superblock is too short to name its metabox inode";
    MetaboxNested => EUCLEAN, "metabox inode claims to live in the metabox";
    PackedInMetabox => EUCLEAN, "packed inode claims to live in the metabox";
    RootNotDir => EINVAL, "root inode is not a directory";
    // Devices, section 3.
    DeviceCount => EINVAL, "number of devices given differs from the device table";
    NoSuchDevice => ENODEV, "extent names a device that is not in the device table";
    BeyondDevice => EIO, "extent lies outside its device";
    AddressOverflow => EUCLEAN, "block address is beyond 2^48 blocks";
    // Inodes, section 4.
    NoMetabox => EUCLEAN, "inode is in a metabox that the image does not have";
    NidOverflow => EUCLEAN, "inode number is beyond any address";
    OutsideImage => EIO, "metadata lies outside the image";
    OutsideMetabox => EUCLEAN, "metadata lies outside the contents of the metabox";
    InodeFormat => EOPNOTSUPP, "inode format has unknown bits";
    InodeLayout => EOPNOTSUPP, "inode has an unknown data layout";
    Compressed => EOPNOTSUPP, "inode is compressed, which is not supported";
    ChunkFormat => EOPNOTSUPP, "inode has an unknown chunk format";
    NegativeSize => EUCLEAN, "inode size is negative";
    InodeType => EUCLEAN, "inode is of no known file type";
    EmptySymlink => EUCLEAN, "symbolic link is empty";
    SymlinkNul => EUCLEAN, "symbolic link has a NUL inside";
    // Data, section 5.
    InlineCrossesBlock => EUCLEAN, "inline data crosses a block boundary";
    // Directories, section 6.
    DirTooBig => EUCLEAN, "directory has 2^31 blocks or more";
    DirBlockShort => EUCLEAN, "directory block is too short for an entry";
    DirentCount => EUCLEAN, "directory block has an impossible first name offset";
    NameOffset => EUCLEAN, "directory entry's name lies outside the names of its block";
    NameLength => EUCLEAN, "directory entry's name is empty, too long or out of order";
    NameTooLong => ENAMETOOLONG, "name is longer than 255 bytes";
    // Extended attributes, section 9.
    NoAttribute => ENODATA, "no such attribute";
    AttributeRange => ERANGE, "attribute name or buffer has the wrong size";
    XattrHeaderOnly => EOPNOTSUPP, "attribute area is a bare header";
    XattrSharedCount => EUCLEAN, "more shared attributes than their area holds";
    XattrOverrun => EUCLEAN, "attribute runs past its area";
    PrefixLength => EUCLEAN, "attribute prefix has an impossible length";
}

/// Why a question has no answer: the source failed, or the image is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The [`Source`](crate::Source) could not give the bytes.
    Source(E),
    /// The bytes are there and are wrong.
    Defect(Defect),
}

impl<E> From<Defect> for Error<E> {
    #[inline]
    fn from(defect: Defect) -> Self {
        Error::Defect(defect)
    }
}
