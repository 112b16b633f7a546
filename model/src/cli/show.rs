// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Text output: listings, attributes, findings.

use std::io::{self, Write};

use ondine_model::check::Finding;
use ondine_model::observation::{Kind, Text};
use ondine_model::read::{Fault, Image, Inode, Origin, Xattr};
use serde::Serialize;

/// A line of a listing.
#[derive(Serialize)]
pub(super) struct ListingRow {
    name: Text,
    nid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<Inode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ListingRow {
    pub(super) fn new(image: &Image, name: Text, nid: u64) -> Self {
        let mut row = Self {
            name,
            nid,
            inode: None,
            target: None,
            error: None,
        };
        match image.inode(nid) {
            Ok(inode) if inode.kind == Kind::Symlink => {
                match image.readlink(&inode) {
                    Ok(target) => row.target = Some(target),
                    Err(fault) => row.error = Some(fault.to_string()),
                }
                row.inode = Some(inode);
            }
            Ok(inode) => row.inode = Some(inode),
            Err(fault) => row.error = Some(fault.to_string()),
        }
        row
    }

    pub(super) fn broken(fault: Fault) -> Self {
        Self {
            name: Text::from("..."),
            nid: 0,
            inode: None,
            target: None,
            error: Some(fault.to_string()),
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.error.is_none()
    }

    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.inode {
            Some(inode) => {
                let size = match inode.kind {
                    Kind::Character | Kind::Block => format!("{}, {}", inode.rdev.0, inode.rdev.1),
                    _ => inode.size.to_string(),
                };
                let (mode, time) = (mode(inode), time(inode.mtime));
                let Inode {
                    nlink, uid, gid, ..
                } = inode;
                write!(
                    out,
                    "{mode} {nlink:>3} {uid:>5} {gid:>5} {size:>12} {time} {}",
                    self.name
                )?;
            }
            None => write!(out, "?????????? {:>42} {}", "", self.name)?,
        }
        if let Some(target) = &self.target {
            write!(out, " -> {target}")?;
        }
        if let Some(error) = &self.error {
            write!(out, ": {error}")?;
        }
        writeln!(out)
    }
}

/// Mode in the form `drwxr-xr-x`.
pub(super) fn mode(inode: &Inode) -> String {
    let mut text = String::from(inode.kind.letter());
    for (shift, special, with, without) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = inode.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (inode.mode & special != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// UTC time, to the second.
pub(super) fn time((seconds, _): (i64, u32)) -> String {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    // Days to a proleptic Gregorian date, with years counted from March (H. Hinnant's method).
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day = shifted.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let (month, january) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + january;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}")
}

pub(super) fn stat(out: &mut impl Write, path: &str, inode: &Inode) -> io::Result<()> {
    let (seconds, nanoseconds) = inode.mtime;
    writeln!(out, "{path}: {} of {} bytes", inode.kind, inode.size)?;
    writeln!(out, "  mode   {} ({:04o})", mode(inode), inode.mode)?;
    writeln!(out, "  owner  {}:{}", inode.uid, inode.gid)?;
    writeln!(out, "  links  {}", inode.nlink)?;
    writeln!(
        out,
        "  mtime  {} UTC ({seconds}.{nanoseconds:09})",
        time(inode.mtime)
    )?;
    if matches!(inode.kind, Kind::Character | Kind::Block) {
        writeln!(out, "  device {}:{}", inode.rdev.0, inode.rdev.1)?;
    }
    writeln!(
        out,
        "  nid    {:#x}, {:?} at {}",
        inode.nid, inode.version, inode.place
    )?;
    writeln!(out, "  layout {:?}", inode.layout)?;
    writeln!(out, "  xattrs {} bytes inline", inode.xattr_bytes())
}

pub(super) fn xattrs(out: &mut impl Write, found: &[Xattr]) -> io::Result<()> {
    for xattr in found {
        let origin = match xattr.origin {
            Origin::Inline => "inline".to_owned(),
            Origin::Shared(id) => format!("shared {id:#x}"),
        };
        match &xattr.name {
            Some(name) => writeln!(out, "{name}={:?} ({origin})", xattr.value)?,
            None => writeln!(
                out,
                "(index {}, invisible)={:?} ({origin})",
                xattr.index, xattr.value
            )?,
        }
    }
    Ok(())
}

pub(super) fn findings(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    let wrong = findings.iter().filter(|finding| finding.is_wrong()).count();
    match (wrong, findings.len() - wrong) {
        (0, 0) => writeln!(out, "sound"),
        (1, _) => writeln!(out, "1 defect"),
        (0, remarks) => writeln!(out, "sound, {remarks} remarks"),
        (wrong, _) => writeln!(out, "{wrong} defects"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(time((0, 0)), "1970-01-01 00:00:00");
        assert_eq!(time((-1, 0)), "1969-12-31 23:59:59");
        assert_eq!(time((951_782_400, 0)), "2000-02-29 00:00:00");
        assert_eq!(time((1_795_315_560, 0)), "2026-11-22 02:46:00");
    }

    #[test]
    fn extreme_times_are_printed() {
        time((i64::MAX, 0));
        time((i64::MIN, 0));
    }
}
