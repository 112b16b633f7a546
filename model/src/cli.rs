// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Command line: arguments, dispatch and exit status.

mod dump;
mod show;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ondine_model::check;
use ondine_model::observation::{Errno, Kind};
use ondine_model::observe::{self, Options};
use ondine_model::read::{Fault, Image};
use serde::Serialize;

/// Look into EROFS images with Ondine's reference model.
#[derive(Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON rather than text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// List a directory or one file, as `ls -l` does.
    Ls(At),
    /// Show the attributes of a path and the location of its inode.
    Stat(At),
    /// Write a file's contents to standard output.
    Cat(At),
    /// Show the extended attributes of a path.
    Xattr(At),
    /// Show the superblock, the devices, and the layout and extents of each inode.
    Dump(At),
    /// List every defect of an image.
    Check(Given),
    /// Write the observation of an image, or of a directory, as JSON.
    Observe(Given),
}

#[derive(Args)]
struct Given {
    /// The image (the bootstrap if file data is in blobs).
    image: PathBuf,
    /// A blob, once per device slot, in slot order. Without any, file data is read from the image
    /// at unified addresses.
    #[arg(long = "device", value_name = "BLOB")]
    devices: Vec<PathBuf>,
}

#[derive(Args)]
struct At {
    #[command(flatten)]
    given: Given,
    /// A path in the image; the root if absent.
    #[arg(default_value = "/")]
    path: String,
}

/// Reason for a failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The image is invalid.
    #[error("{thing}: {fault}")]
    Image { thing: String, fault: Fault },
    /// The request is invalid.
    #[error("{0}")]
    Request(String),
    /// Writing to standard output failed.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    /// A value has no JSON form.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Image { fault, .. } if fault.defect.is_some() => 1,
            _ => 2,
        }
    }
}

/// Runs a command. `Ok(false)` means that the image has defects.
pub(crate) fn run(cli: &Cli) -> Result<bool, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let held = match &cli.command {
        Command::Ls(at) => ls(at, cli.json, &mut out)?,
        Command::Stat(at) => {
            let inode = at.inode(&at.image()?)?;
            emit(cli.json, &mut out, &inode, |out| {
                show::stat(out, &at.path, &inode)
            })?;
            true
        }
        Command::Cat(at) => cat(at, &mut out)?,
        Command::Xattr(at) => {
            let image = at.image()?;
            let found = image.xattrs(&at.inode(&image)?).map_err(at.failure())?;
            emit(cli.json, &mut out, &found, |out| show::xattrs(out, &found))?;
            true
        }
        Command::Dump(at) => {
            let image = at.image()?;
            let account = dump::account(&image, at.path.as_bytes()).map_err(at.failure())?;
            let sound = account.is_sound();
            emit(cli.json, &mut out, &account, |out| account.print(out))?;
            sound
        }
        Command::Check(given) => {
            let findings = check::files(&given.image, &given.devices);
            if let Some(unread) = findings
                .iter()
                .find(|found| found.defect.is_none() && found.path.is_none())
            {
                return Err(Failure::Request(unread.why.clone()));
            }
            emit(cli.json, &mut out, &findings, |out| {
                show::findings(out, &findings)
            })?;
            !findings.iter().any(check::Finding::is_wrong)
        }
        Command::Observe(given) => {
            let seen = if given.image.is_dir() {
                observe::directory(&given.image, &Options::default())
            } else {
                given.open()?.observe()
            };
            writeln!(out, "{}", seen.to_json()?)?;
            true
        }
    };
    out.flush()?;
    Ok(held)
}

fn emit<T: Serialize, W: Write>(
    json: bool,
    out: &mut W,
    value: &T,
    text: impl FnOnce(&mut W) -> io::Result<()>,
) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, value)?;
        writeln!(out)?;
    } else {
        text(out)?;
    }
    Ok(())
}

fn ls(at: &At, json: bool, out: &mut impl Write) -> Result<bool, Failure> {
    let image = at.image()?;
    let inode = at.inode(&image)?;
    let mut rows = Vec::new();
    if inode.kind == Kind::Directory {
        for entry in image.readdir(&inode) {
            match entry {
                Ok(entry) => rows.push(show::ListingRow::new(&image, entry.name, entry.nid)),
                Err(fault) => rows.push(show::ListingRow::broken(fault)),
            }
        }
    } else {
        rows.push(show::ListingRow::new(
            &image,
            at.path.as_str().into(),
            inode.nid,
        ));
    }
    emit(json, out, &rows, |out| {
        rows.iter().try_for_each(|row| row.print(out))
    })?;
    Ok(rows.iter().all(show::ListingRow::is_sound))
}

fn cat(at: &At, out: &mut impl Write) -> Result<bool, Failure> {
    let image = at.image()?;
    let inode = at.inode(&image)?;
    if inode.kind != Kind::Regular {
        let what = format!(
            "{} is {}, only a regular file has contents; try `ls` or `stat`",
            at.path, inode.kind
        );
        return Err(Failure::Request(what));
    }
    let mut buffer = vec![0; 1 << 20];
    let mut from = 0;
    while from < inode.size {
        let len = (inode.size - from).min(buffer.len() as u64);
        let part = &mut buffer[..len as usize];
        image.read(&inode, from, part).map_err(at.failure())?;
        out.write_all(part)?;
        from += len;
    }
    Ok(true)
}

impl Given {
    fn open(&self) -> Result<Image, Failure> {
        Image::open_files(&self.image, &self.devices).map_err(|fault| match fault.defect {
            None => Failure::Request(fault.why),
            Some(_) => Failure::Image {
                thing: format!("{} does not mount", self.image.display()),
                fault,
            },
        })
    }
}

impl At {
    fn image(&self) -> Result<Image, Failure> {
        self.given.open()
    }

    fn inode(&self, image: &Image) -> Result<ondine_model::read::Inode, Failure> {
        image
            .resolve(self.path.as_bytes())
            .map_err(|fault| match fault.errno {
                Errno::ENOENT | Errno::ENOTDIR if fault.defect.is_none() => {
                    let image = self.given.image.display();
                    Failure::Request(format!(
                        "{image} has no {}: {}; `ls {image}` shows its root",
                        self.path, fault.why
                    ))
                }
                _ => self.failure()(fault),
            })
    }

    fn failure(&self) -> impl Fn(Fault) -> Failure + '_ {
        |fault| Failure::Image {
            thing: format!("{} of {}", self.path, self.given.image.display()),
            fault,
        }
    }
}
