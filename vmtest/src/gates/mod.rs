// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Checks that every build of the module must pass.

pub mod symbols;
pub mod unsafety;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One fault a line, for a person.
pub fn listing<T: std::fmt::Display>(faults: &[T]) -> String {
    faults.iter().map(|fault| format!("  {fault}\n")).collect()
}

/// Every file below `dir` that is not hidden and not a build's output.
pub(crate) fn files_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
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
