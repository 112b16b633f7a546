// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Static checks: of the built module, and of the sources.
//!
//! | module | check |
//! | --- | --- |
//! | [`symbols`] | no Rust panic is linked into ondine.ko |
//! | [`unsafety`] | `unsafe` occurs only in its folders, with a SAFETY comment |
//! | [`structure`] | no import circles between files, no forbidden dependencies between crates |
//! | [`licences`] | each source file names its licence |

pub mod licences;
pub mod structure;
pub mod symbols;
pub mod unsafety;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The list for an error message: one indented line for each fault.
pub fn listing<T: std::fmt::Display>(faults: &[T]) -> String {
    faults.iter().map(|fault| format!("  {fault}\n")).collect()
}

/// Collects the files below `dir` in `found`. Skips hidden files and directories called `target`.
///
/// # Errors
/// When a directory cannot be read.
pub fn files_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}
