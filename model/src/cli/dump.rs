// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `dump`: superblock, devices, and the layout of each inode.

use std::collections::BTreeSet;
use std::io::{self, Write};

use ondine_model::observation::{Kind, Text};
use ondine_model::read::{Extent, Fault, Image, Inode, Prefix, Slot, Source, Superblock};
use serde::Serialize;

/// On-disk structure of an image.
#[derive(Serialize)]
pub(super) struct Account<'a> {
    superblock: &'a Superblock,
    devices: &'a [Slot],
    flat: bool,
    prefixes: &'a [Prefix],
    inodes: Vec<Part>,
}

/// On-disk structure of an inode.
#[derive(Serialize)]
struct Part {
    path: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<Inode>,
    extents: Vec<Extent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Collects every inode at and below a path once, in walk order.
pub(super) fn account<'a>(image: &'a Image, path: &[u8]) -> Result<Account<'a>, Fault> {
    let start = Text::from(path.trim_ascii_start().strip_prefix(b"/").unwrap_or(path));
    let mut todo = vec![(start, image.resolve(path)?.nid)];
    let mut seen = BTreeSet::new();
    let mut inodes = Vec::new();
    while let Some((path, nid)) = todo.pop() {
        if !seen.insert(nid) {
            continue;
        }
        let mut part = Part {
            path,
            inode: None,
            extents: Vec::new(),
            error: None,
        };
        match image.inode(nid) {
            Err(fault) => part.error = Some(fault.to_string()),
            Ok(inode) => {
                extents(image, &inode, &mut part);
                if inode.kind == Kind::Directory {
                    let mut below = Vec::new();
                    for entry in image.readdir(&inode) {
                        match entry {
                            Ok(entry) if matches!(entry.name.as_bytes(), b"." | b"..") => {}
                            Ok(entry) => {
                                below.push((part.path.join(entry.name.as_bytes()), entry.nid))
                            }
                            Err(fault) => part.error = Some(fault.to_string()),
                        }
                    }
                    todo.extend(below.into_iter().rev());
                }
                part.inode = Some(inode);
            }
        }
        inodes.push(part);
    }
    Ok(Account {
        superblock: image.superblock(),
        devices: &image.devices().slots,
        flat: image.devices().flat(),
        prefixes: image.prefixes(),
        inodes,
    })
}

/// Collects the extents of an inode. Adjacent extents are merged.
fn extents(image: &Image, inode: &Inode, part: &mut Part) {
    for extent in image.extents(inode) {
        let extent = match extent {
            Ok(extent) => extent,
            Err(fault) => {
                part.error = Some(fault.to_string());
                return;
            }
        };
        match part.extents.last_mut() {
            Some(last) if continues(last, &extent) => last.end = extent.end,
            _ => part.extents.push(extent),
        }
    }
}

fn continues(before: &Extent, after: &Extent) -> bool {
    match (before.source, after.source) {
        (Source::Hole, Source::Hole) => true,
        (
            Source::Device { id, at },
            Source::Device {
                id: next,
                at: found,
            },
        ) => id == next && at.checked_add(before.end - before.start) == Some(found),
        _ => false,
    }
}

impl Account<'_> {
    pub(super) fn is_sound(&self) -> bool {
        self.inodes.iter().all(|part| part.error.is_none())
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let sb = self.superblock;
        let uuid: String = sb.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let volume = sb
            .volume
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        writeln!(out, "superblock")?;
        writeln!(
            out,
            "  features      compatible {:#x}, incompatible {:#x}",
            sb.feature_compat, sb.feature_incompat
        )?;
        writeln!(out, "  block size    {}", sb.block_size())?;
        writeln!(out, "  blocks        {}", sb.blocks)?;
        writeln!(out, "  inodes        {}", sb.inodes)?;
        writeln!(out, "  root nid      {:#x}", sb.root_nid)?;
        writeln!(
            out,
            "  metadata at   block {}, shared xattrs at block {}",
            sb.meta_block, sb.xattr_block
        )?;
        writeln!(
            out,
            "  epoch         {}.{:09}",
            sb.epoch, sb.fixed_nanoseconds
        )?;
        writeln!(out, "  uuid, volume  {uuid} {:?}", Text::from(volume))?;
        for (slot, id) in self.devices.iter().zip(1..) {
            let tag = &slot.tag;
            writeln!(
                out,
                "device {id}: {} blocks, unified at {}, tag {tag:?}",
                slot.blocks, slot.unified
            )?;
        }
        if !self.devices.is_empty() {
            let how = if self.flat {
                "read from the image at unified addresses"
            } else {
                "given"
            };
            writeln!(out, "  the devices' data is {how}")?;
        }
        for (prefix, id) in self.prefixes.iter().zip(0..) {
            writeln!(
                out,
                "long prefix {id}: namespace {} and {:?}",
                prefix.base, prefix.infix
            )?;
        }
        self.inodes.iter().try_for_each(|part| part.print(out))
    }
}

impl Part {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "/{}", self.path)?;
        if let Some(inode) = &self.inode {
            let Inode {
                nid,
                place,
                version,
                layout,
                size,
                ..
            } = inode;
            write!(
                out,
                ": nid {nid:#x} at {place}, {version:?}, {layout:?}, {size} bytes"
            )?;
        }
        writeln!(out)?;
        for Extent { start, end, source } in &self.extents {
            match source {
                Source::Hole => writeln!(out, "  {start:#x}..{end:#x} hole")?,
                Source::Inline(place) => writeln!(out, "  {start:#x}..{end:#x} inline at {place}")?,
                Source::Device { id, at } => {
                    writeln!(out, "  {start:#x}..{end:#x} device {id} at {at:#x}")?
                }
            }
        }
        match &self.error {
            Some(error) => writeln!(out, "  error: {error}"),
            None => Ok(()),
        }
    }
}
