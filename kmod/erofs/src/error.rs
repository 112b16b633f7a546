// SPDX-License-Identifier: GPL-2.0

//! Defects of images and their errnos.

/// Error numbers returned by this crate, under their Linux names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// I/O error.
    EIO = 5,
    /// No such device.
    ENODEV = 19,
    /// Invalid image or argument.
    EINVAL = 22,
    /// Name or buffer of the wrong size.
    ERANGE = 34,
    /// Name longer than the format allows.
    ENAMETOOLONG = 36,
    /// No such attribute.
    ENODATA = 61,
    /// Checksum mismatch.
    EBADMSG = 74,
    /// Unsupported feature.
    EOPNOTSUPP = 95,
    /// Inconsistent image.
    EUCLEAN = 117,
}

impl Errno {
    /// Positive errno value.
    #[inline]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// Defines [`Defect`] from a table of name, errno and message.
macro_rules! defects {
    ($($name:ident => $errno:ident, $message:literal;)*) => {
        /// A specific defect of an image, or of a request to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Defect {
            $(#[doc = $message] $name,)*
        }

        impl Defect {
            /// Every defect, in the order of the table.
            pub const ALL: &'static [Defect] = &[$(Defect::$name,)*];

            /// Errno returned to the caller.
            #[inline]
            pub const fn errno(self) -> Errno {
                match self {
                    $(Defect::$name => Errno::$errno,)*
                }
            }

            /// Description for a log line.
            pub const fn message(self) -> &'static str {
                match self {
                    $(Defect::$name => $message,)*
                }
            }
        }
    };
}

defects! {
    // Superblock, docs/spec/erofs-format.md section 2.5.
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
    // Devices, docs/spec/erofs-format.md section 3.
    DeviceCount => EINVAL, "number of devices given differs from the device table";
    TooManyDevices => EOPNOTSUPP, "image has more than 1024 device slots, too many for fsid=";
    NoSuchDevice => ENODEV, "extent names a device that is not in the device table";
    BeyondDevice => EIO, "extent lies outside its device";
    AddressOverflow => EUCLEAN, "block address is beyond 2^48 blocks";
    // Inodes, docs/spec/erofs-format.md section 4.
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
    DirTooBig => EUCLEAN, "directory has more than 2^31 blocks";
    EmptySymlink => EUCLEAN, "symbolic link is empty";
    SymlinkNul => EUCLEAN, "symbolic link has a NUL inside";
    // Data, docs/spec/erofs-format.md section 5.
    InlineCrossesBlock => EUCLEAN, "inline data crosses a block boundary";
    // Directories, docs/spec/erofs-format.md section 6.
    DirBlockShort => EUCLEAN, "directory block is too short for an entry";
    DirentCount => EUCLEAN, "directory block has an impossible first name offset";
    NameOffset => EUCLEAN, "directory entry's name lies outside the names of its block";
    NameLength => EUCLEAN, "directory entry's name is empty, too long or out of order";
    NameTooLong => ENAMETOOLONG, "name is longer than 255 bytes";
    // Extended attributes, docs/spec/erofs-format.md section 9.
    NoAttribute => ENODATA, "no such attribute";
    AttributeRange => ERANGE, "attribute name or buffer has the wrong size";
    XattrHeaderOnly => EOPNOTSUPP, "attribute area is a bare header";
    XattrSharedCount => EUCLEAN, "more shared attributes than their area holds";
    XattrOverrun => EUCLEAN, "attribute runs past its area";
    PrefixLength => EUCLEAN, "attribute prefix has an impossible length";
}

/// Failure of a request: an error of the source, or a defect of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The [`Source`](crate::Source) failed.
    Source(E),
    /// The bytes are invalid.
    Defect(Defect),
}

impl<E> From<Defect> for Error<E> {
    #[inline]
    fn from(defect: Defect) -> Self {
        Error::Defect(defect)
    }
}
