// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A mounted image: its devices, and the bytes of its metadata and files.

use ondine_erofs::inode::check_fast_symlink;
use ondine_erofs::prefix::RECORD_MAX;
use ondine_erofs::{
    map, resolve, Defect, DeviceSlot, Devices, DirSource, Error, Inode, Prefix, PrefixReader,
    PrefixTable, Source, Space, SuperBlock, Target,
};
use ondine_model::observation::Errno;
use ondine_model::read::DeviceBytes;

/// Result of the pure crate with a [`Mount`] as its source.
pub(super) type Answer<T> = Result<T, Error<Errno>>;

/// The errno that user space gets.
pub(super) fn errno(error: Error<Errno>) -> Errno {
    match error {
        Error::Source(errno) => errno,
        Error::Defect(defect) => Errno(defect.errno().number()),
    }
}

/// An image that mounts.
pub struct Mount<'a> {
    primary: &'a dyn DeviceBytes,
    devices: &'a [&'a dyn DeviceBytes],
    slots: Vec<DeviceSlot>,
    pub(super) sb: SuperBlock,
    pub(super) page_size: u32,
    packed: Option<Inode>,
    metabox: Option<Inode>,
    prefixes: Vec<(u8, Vec<u8>)>,
    root: Option<Inode>,
}

impl<'a> Mount<'a> {
    /// Mounts an image with its blobs, none of them for a flat image.
    ///
    /// # Errors
    /// The errno of the first check that fails.
    pub fn new(
        primary: &'a dyn DeviceBytes,
        devices: &'a [&'a dyn DeviceBytes],
        page_size: u32,
    ) -> Result<Self, Errno> {
        let mut page = vec![0; primary.len().min(page_size.into()) as usize];
        primary.read_at(0, &mut page)?;
        let sb = SuperBlock::parse(&page, page_size).map_err(|defect| errno(defect.into()))?;
        let mut mount = Self {
            primary,
            devices,
            slots: Vec::new(),
            sb,
            page_size,
            packed: None,
            metabox: None,
            prefixes: Vec::new(),
            root: None,
        };
        mount.load().map_err(errno)?;
        Ok(mount)
    }

    /// The checks behind those of the superblock's own bytes.
    fn load(&mut self) -> Answer<()> {
        self.sb.check_device_count(self.devices.len())?;
        for index in 0..self.sb.extra_devices() {
            let mut slot = [0; 128];
            let offset = self.sb.device_slot_offset(index);
            self.read(
                Space::Primary,
                offset.ok_or(Defect::OutsideImage)?,
                &mut slot,
            )?;
            self.slots.push(self.sb.device_slot(&slot));
        }
        self.packed = match self.special(self.sb.packed_nid()) {
            // Only the tails of compressed files are lost.
            Err(Error::Defect(Defect::Compressed)) if !self.has_packed_prefixes() => None,
            packed => packed?,
        };
        self.metabox = self.special(self.sb.metabox_nid())?;
        let root = self.inode(self.sb.root_nid())?;
        if !root.is_dir() {
            return Err(Defect::RootNotDir.into());
        }
        self.root = Some(root);

        let mut reader = PrefixReader::new(&self.sb);
        let mut record = [0; RECORD_MAX];
        while let Some(prefix) = reader.next(self, &mut record)? {
            let (base, infix) = (prefix.base_index, prefix.infix.to_vec());
            self.prefixes.push((base, infix));
        }
        Ok(())
    }

    fn has_packed_prefixes(&self) -> bool {
        let location = self.sb.prefix_location();
        location.is_some_and(|location| location.space == Space::Packed)
    }

    fn special(&self, nid: Option<u64>) -> Answer<Option<Inode>> {
        nid.map(|nid| self.inode(nid)).transpose()
    }

    /// The root directory.
    pub(super) fn root(&self) -> Inode {
        self.root.expect("a mount has loaded it")
    }

    /// Loads an inode, a fast link's target included.
    pub(super) fn inode(&self, nid: u64) -> Answer<Inode> {
        let inode = Inode::read(self, &self.sb, nid)?;
        if let Some((space, offset, len)) = inode.fast_symlink(&self.sb) {
            let mut target = vec![0; len as usize];
            self.read(space, offset, &mut target)?;
            check_fast_symlink(&target)?;
        }
        Ok(inode)
    }

    /// Fills `out` with a file's bytes from `at` on; beyond its end they are zero.
    pub(super) fn read_file(&self, inode: &Inode, at: u64, out: &mut [u8]) -> Answer<()> {
        out.fill(0);
        let end = at.saturating_add(out.len() as u64).min(inode.size);
        let mut position = at;
        while position < end {
            let extent = map(self, &self.sb, inode, position, end - position)?;
            let within = position - extent.start;
            let stop = end.min(position + (extent.len - within));
            let part = &mut out[(position - at) as usize..(stop - at) as usize];
            let done = match extent.target {
                Target::Hole => part.len() as u64,
                Target::Inline { space, offset } => {
                    self.read(space, offset + within, part)?;
                    part.len() as u64
                }
                Target::Mapped { device_id, addr } => {
                    let len = extent.len - within;
                    let place = resolve(&self.sb, &self.given(), device_id, addr + within, len)?;
                    let part_len = (part.len() as u64).min(place.len);
                    let device = match usize::from(place.device).checked_sub(1) {
                        None => self.primary,
                        Some(n) => self.devices[n],
                    };
                    let part = &mut part[..part_len as usize];
                    fill(device, place.offset, part, Defect::BeyondDevice)?;
                    part_len
                }
            };
            position += done.max(1);
        }
        Ok(())
    }

    /// The devices, in the mode that their number chose.
    pub(super) fn given(&self) -> Devices<'_> {
        if self.devices.is_empty() {
            Devices::Flat(&self.slots)
        } else {
            Devices::Multi(&self.slots)
        }
    }
}

/// Fills `out` from a store that must hold all of it.
fn fill(store: &dyn DeviceBytes, at: u64, out: &mut [u8], outside: Defect) -> Answer<()> {
    let end = at.checked_add(out.len() as u64);
    if end.is_none_or(|end| end > store.len()) {
        return Err(outside.into());
    }
    store.read_at(at, out).map_err(Error::Source)
}

impl Source for Mount<'_> {
    type Error = Errno;

    fn read(&self, space: Space, offset: u64, buf: &mut [u8]) -> Answer<()> {
        let file = match space {
            Space::Primary => return fill(self.primary, offset, buf, Defect::OutsideImage),
            Space::Metabox => self.metabox.as_ref(),
            Space::Packed => self.packed.as_ref(),
        };
        let file = file.ok_or(Defect::NoMetabox)?;
        let end = offset.checked_add(buf.len() as u64);
        let end = end
            .filter(|end| *end <= file.size)
            .ok_or(Defect::OutsideMetabox)?;
        // As the module does, by whole pages of the file's own page cache.
        let page = u64::from(self.page_size);
        let start = offset / page * page;
        let stop = end.next_multiple_of(page).min(file.size);
        let mut pages = vec![0; (stop - start) as usize];
        self.read_file(file, start, &mut pages)?;
        let first = (offset - start) as usize;
        buf.copy_from_slice(&pages[first..first + buf.len()]);
        Ok(())
    }
}

impl PrefixTable for Mount<'_> {
    fn prefix(&self, id: u8) -> Option<Prefix<'_>> {
        let (base_index, infix) = self.prefixes.get(usize::from(id))?;
        Some(Prefix {
            base_index: *base_index,
            infix,
        })
    }
}

/// A directory of a mount, block by block.
pub(super) struct Directory<'a> {
    pub(super) mount: &'a Mount<'a>,
    pub(super) inode: &'a Inode,
}

impl Directory<'_> {
    /// Number of blocks, including a partial last one.
    pub(super) fn blocks(&self) -> u64 {
        self.inode.size.div_ceil(self.mount.sb.block_size().into())
    }

    /// The bytes of a block that the directory's size covers.
    pub(super) fn bytes(&self, index: u64) -> Answer<Vec<u8>> {
        let bs = u64::from(self.mount.sb.block_size());
        let start = index * bs;
        let mut block = vec![0; bs.min(self.inode.size - start) as usize];
        self.mount.read_file(self.inode, start, &mut block)?;
        Ok(block)
    }
}

impl DirSource for Directory<'_> {
    type Block = Vec<u8>;
    type Error = Errno;

    fn block(&self, index: u32) -> Answer<Vec<u8>> {
        self.bytes(index.into())
    }
}
