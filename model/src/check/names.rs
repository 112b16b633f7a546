// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks of a directory's names: valid, sorted, unique, and of the right type.

use super::Check;
use crate::observation::{Kind, Text};
use crate::read::{Dirent, Inode};
use crate::strictness::Defect;

impl Check<'_> {
    /// Reports the defects of a directory and returns its entries except `.` and `..`.
    pub(super) fn directory(&mut self, path: &Text, inode: &Inode, parent: u64) -> Vec<Dirent> {
        let mut entries = Vec::new();
        for entry in self.image.readdir(inode) {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(fault) => self.refuse(path, fault),
            }
        }
        for pair in entries.windows(2) {
            let [before, after] = [&pair[0].name, &pair[1].name];
            match before.cmp(after) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    self.remark(
                        Some(path),
                        Defect::DuplicateName,
                        format!("{after} occurs twice"),
                    );
                }
                std::cmp::Ordering::Greater => {
                    let why = format!("{after} comes after {before}");
                    self.remark(Some(path), Defect::UnsortedDirectory, why);
                }
            }
        }
        for entry in &entries {
            match self.image.lookup(inode, entry.name.as_bytes()) {
                Ok(Some(_)) => {}
                Ok(None) => {
                    let why = format!("lookup does not find {}", entry.name);
                    self.remark(Some(path), Defect::UnsortedDirectory, why);
                }
                Err(fault) => self.refuse(path, fault.of(&format!("lookup of {}", entry.name))),
            }
        }
        for (dots, leads, needed) in [(".", inode.nid, !inode.dot_omitted), ("..", parent, true)] {
            let found = entries.iter().find(|entry| entry.name == Text::from(dots));
            let why = match found {
                Some(entry) if entry.nid != leads => {
                    format!("{dots} leads to inode {:#x}, not {leads:#x}", entry.nid)
                }
                None if needed => format!("{dots} is missing"),
                _ => continue,
            };
            self.remark(Some(path), Defect::DotEntries, why);
        }
        entries.retain(|entry| !matches!(entry.name.as_bytes(), b"." | b".."));
        entries
    }

    pub(super) fn entry_type(&mut self, path: &Text, entry: &Dirent, kind: Kind) {
        let stored = match kind {
            Kind::Regular => 1,
            Kind::Directory => 2,
            Kind::Character => 3,
            Kind::Block => 4,
            Kind::Fifo => 5,
            Kind::Socket => 6,
            Kind::Symlink => 7,
        };
        if entry.file_type != stored {
            let why = format!(
                "its entry says type {}, it is {kind} ({stored})",
                entry.file_type
            );
            self.remark(Some(path), Defect::DirentType, why);
        }
    }
}
