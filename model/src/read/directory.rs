// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Directories: listing and lookup, which check entries differently (docs/spec/erofs-format.md
//! section 6).

use std::cmp::Ordering;
use std::ops::Range;

use super::fields::Fields;
use super::{Fault, Image, Inode, Result};
use crate::observation::{Errno, Text};
use crate::strictness::Defect;

/// Bytes of an entry.
const DIRENT: usize = 12;
const NAME_MAX: usize = 255;

/// A directory entry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Dirent {
    /// Name as stored, delimited by the offsets.
    pub name: Text,
    /// Inode number.
    pub nid: u64,
    /// Type as stored, unchecked.
    pub file_type: u8,
}

/// A block of a directory. Only the last may be shorter than the block size.
struct Block {
    bytes: Vec<u8>,
    index: u64,
}

impl Block {
    fn offset(&self, k: usize) -> usize {
        Fields(&self.bytes).u16(k * DIRENT + 8).into()
    }

    fn complaint(&self, what: &str) -> String {
        format!("directory block {}: {what}", self.index)
    }

    /// Returns the number of entries if the first name offset is valid.
    fn count(&self, block_size: u64, bad: Defect, empty: Defect) -> Result<usize> {
        if self.bytes.len() < DIRENT {
            return Err(bad.fault(self.complaint("is too short for an entry")));
        }
        let first = self.offset(0);
        if first == 0 {
            return Err(empty.fault(self.complaint("its first name offset is 0")));
        }
        if first as u64 >= block_size || first % DIRENT != 0 || first > self.bytes.len() {
            return Err(bad.fault(self.complaint(&format!("its first name offset is {first}"))));
        }
        Ok(first / DIRENT)
    }

    /// Reads entry `k` of `count` and checks it by docs/spec/erofs-format.md section 6.2.
    fn entry(&self, k: usize, count: usize, bad: Defect) -> Result<Dirent> {
        let valid = self.bytes.len();
        let from = self.offset(k);
        let wrong = |what: String| bad.fault(self.complaint(&format!("entry {k}: {what}")));
        if from >= valid || from < count * DIRENT {
            return Err(wrong(format!("its name begins at {from} of {valid} bytes")));
        }
        let end = if k + 1 < count {
            self.offset(k + 1)
        } else {
            let nul = self.bytes[from..].iter().position(|byte| *byte == 0);
            nul.map_or(valid, |len| from + len)
        };
        if end > valid || end <= from || end - from > NAME_MAX {
            return Err(wrong(format!(
                "its name is at {from}..{end} of {valid} bytes"
            )));
        }
        let f = Fields(&self.bytes[k * DIRENT..]);
        Ok(Dirent {
            name: Text::from(&self.bytes[from..end]),
            nid: f.u64(0),
            file_type: f.u8(10),
        })
    }
}

/// Compares a stored name, which ends at its first NUL, with a wanted one.
fn compare(stored: &[u8], wanted: &[u8]) -> Ordering {
    let end = stored
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(stored.len());
    stored[..end].cmp(wanted)
}

impl Image {
    fn directory_block(&self, directory: &Inode, index: u64) -> Result<Block> {
        let bs = self.sb.block_size();
        let start = index * bs;
        let mut bytes = vec![0; bs.min(directory.size - start) as usize];
        self.read(directory, start, &mut bytes)?;
        Ok(Block { bytes, index })
    }

    /// Iterates over the entries in stored order, including `.` and `..` if stored, with the checks
    /// of docs/spec/erofs-format.md section 6.2. Entries before an error are yielded first; nothing
    /// follows the error.
    pub fn readdir<'a>(
        &'a self,
        directory: &'a Inode,
    ) -> impl Iterator<Item = Result<Dirent>> + 'a {
        let blocks = directory.size.div_ceil(self.sb.block_size());
        let mut failed = false;
        let entries = (0..blocks).flat_map(move |index| {
            let (entries, fault) = self.list_block(directory, index);
            entries.into_iter().map(Ok).chain(fault.map(Err))
        });
        entries.take_while(move |entry| !std::mem::replace(&mut failed, entry.is_err()))
    }

    fn list_block(&self, directory: &Inode, index: u64) -> (Vec<Dirent>, Option<Fault>) {
        let mut entries = Vec::new();
        let counted = self.directory_block(directory, index).and_then(|block| {
            let count = block.count(
                self.sb.block_size(),
                Defect::DirentFirst,
                Defect::DirentFirst,
            )?;
            Ok((block, count))
        });
        let (block, count) = match counted {
            Ok(counted) => counted,
            Err(fault) => return (entries, Some(fault)),
        };
        for k in 0..count {
            match block.entry(k, count, Defect::DirentName) {
                Ok(entry) if entry.name.0.contains(&b'/') => {
                    let why = block.complaint(&format!("entry {k}: {} has a slash", entry.name));
                    return (entries, Some(Defect::SlashInName.fault(why)));
                }
                Ok(entry) => entries.push(entry),
                Err(fault) => return (entries, Some(fault)),
            }
        }
        (entries, None)
    }

    /// NodeAttributes up a name; `None` is ENOENT.
    ///
    /// Binary search over blocks, taking the lower of two middles (docs/spec/erofs-format.md
    /// section 6.1). It stops at the first block whose first and last name enclose the wanted one.
    /// C continues to the last block whose first name is not above it. Both find the same block in
    /// a sorted directory. In an unsorted one, either may miss an existing name, and they meet
    /// different entries, which are checked by section 6.2.
    ///
    /// # Errors
    /// ENAMETOOLONG, [`Defect::LookupEmptyBlock`], [`Defect::LookupDirent`], or errors of reading a block.
    pub fn lookup(&self, directory: &Inode, name: &[u8]) -> Result<Option<Dirent>> {
        if name.len() > NAME_MAX {
            return Err(Fault::other(
                Errno::ENAMETOOLONG,
                "the name is longer than 255 bytes",
            ));
        }
        let bs = self.sb.block_size();
        let mut blocks = 0..directory.size.div_ceil(bs);
        while !blocks.is_empty() {
            let middle = blocks.start + (blocks.end - blocks.start - 1) / 2;
            let block = self.directory_block(directory, middle)?;
            let count = block.count(bs, Defect::LookupDirent, Defect::LookupEmptyBlock)?;
            let entry = |k| block.entry(k, count, Defect::LookupDirent);
            let first = entry(0)?;
            match compare(&first.name.0, name) {
                Ordering::Equal => return Ok(Some(first)),
                Ordering::Greater => blocks.end = middle,
                // The last block: its last name does not matter.
                Ordering::Less if middle + 1 == blocks.end => return find(entry, 1..count, name),
                Ordering::Less => {
                    let last = entry(count - 1)?;
                    match compare(&last.name.0, name) {
                        Ordering::Equal => return Ok(Some(last)),
                        Ordering::Greater => return find(entry, 1..count, name),
                        Ordering::Less => blocks.start = middle + 1,
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Binary search within a block.
fn find(
    entry: impl Fn(usize) -> Result<Dirent>,
    mut range: Range<usize>,
    name: &[u8],
) -> Result<Option<Dirent>> {
    while !range.is_empty() {
        let middle = range.start + (range.len() - 1) / 2;
        let found = entry(middle)?;
        match compare(&found.name.0, name) {
            Ordering::Equal => return Ok(Some(found)),
            Ordering::Less => range.start = middle + 1,
            Ordering::Greater => range.end = middle,
        }
    }
    Ok(None)
}
