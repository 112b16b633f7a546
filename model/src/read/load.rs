// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Loading of inodes, in the kernel's order of checks (docs/spec/erofs-format.md section 4.4).

use super::fields::Fields;
use super::{Image, Inode, Result};
use crate::strictness::Defect;

impl Image {
    /// Loads an inode.
    ///
    /// # Errors
    /// The first check that fails, in the order of docs/spec/erofs-format.md section 4.4.
    pub fn inode(&self, nid: u64) -> Result<Inode> {
        self.load(nid)
            .map_err(|fault| fault.of(&format!("inode {nid:#x}")))
    }

    fn load(&self, nid: u64) -> Result<Inode> {
        let place = self.inode_address(nid)?;
        let mut record = self.metadata(place, 32)?;
        if record[0] & 1 != 0 && record[1] == 0 && record[0] >> 5 == 0 {
            record = self.metadata(place, 64)?;
        } else {
            record.resize(64, 0);
        }
        let inode = Inode::parse(nid, place, &record, &self.sb)?;
        let layout = record[0] >> 1 & 7;
        if layout == 2 && inode.is_fast_symlink(self.sb.block_size()) {
            let target = self.metadata(inode.tail_address(), inode.size)?;
            if target.is_empty() || target.contains(&0) {
                return Err(
                    Defect::FastSymlink.fault("the inline link target is empty or holds a NUL")
                );
            }
        }
        if layout == 1 || layout == 3 {
            return Err(Defect::Compressed
                .fault("its data is compressed; use an image without compression"));
        }
        let chunk_format = Fields(&record).u16(16);
        if layout == 4 && chunk_format >> 7 != 0 {
            return Err(Defect::ChunkFormat
                .fault(format!("unknown bits in chunk format {chunk_format:#x}")));
        }
        Ok(inode)
    }
}
