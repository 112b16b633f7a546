// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Kernel configuration fragments, and the comparison of a `.config` with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::KernelName;

/// An option whose value in a configuration is not the one that a fragment wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The option, as in `CONFIG_RUST`.
    pub option: String,
    /// The value in the fragment: `y`, `n`, a number or a string.
    pub wanted: String,
    /// The value in the configuration; `n` for an option that it does not mention.
    pub found: String,
    /// The path of the fragment.
    pub fragment: PathBuf,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            option,
            wanted,
            found,
            fragment,
        } = self;
        write!(
            f,
            "{option} is {found}, wanted {wanted} (by {})",
            fragment.display()
        )
    }
}

/// Parses a fragment or a `.config` into option and value; `# CONFIG_X is not set` is `n`.
pub fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            match line
                .strip_prefix("# ")
                .and_then(|rest| rest.strip_suffix(" is not set"))
            {
                Some(option) => Some((option.to_owned(), "n".to_owned())),
                None => {
                    let (option, value) = line.split_once('=')?;
                    option
                        .starts_with("CONFIG_")
                        .then(|| (option.to_owned(), value.to_owned()))
                }
            }
        })
        .collect()
}

/// The options of `fragments` whose values `config` does not have. A later fragment overrides an
/// earlier one.
pub fn unmet(config: &str, fragments: &[(PathBuf, String)]) -> Vec<Unmet> {
    let config = parse(config);
    let mut wanted: BTreeMap<String, (String, &Path)> = BTreeMap::new();
    for (path, text) in fragments {
        for (option, value) in parse(text) {
            wanted.insert(option, (value, path));
        }
    }
    wanted
        .into_iter()
        .filter_map(|(option, (wanted, fragment))| {
            let found = config.get(&option).map_or("n", String::as_str).to_owned();
            (found != wanted).then(|| Unmet {
                option,
                wanted,
                found,
                fragment: fragment.to_owned(),
            })
        })
        .collect()
}

/// Reads the fragments of `kernel` from the directory `kernels`, in the order in which they are
/// merged.
pub fn fragments(kernels: &Path, kernel: KernelName) -> Result<Vec<(PathBuf, String)>> {
    let mut all = needed(kernels, kernel)?;
    if kernel.takes_module() {
        all.insert(1, fragment(kernels, "disks")?);
    }
    Ok(all)
}

/// Reads the fragments of `kernel` without those whose options only some tests need.
pub fn needed(kernels: &Path, kernel: KernelName) -> Result<Vec<(PathBuf, String)>> {
    ["base", kernel.as_str()]
        .iter()
        .map(|part| fragment(kernels, part))
        .collect()
}

fn fragment(kernels: &Path, part: &str) -> Result<(PathBuf, String)> {
    let path = kernels.join(format!("{part}.config"));
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok((path, text))
}

/// The list for an error message: one indented line for each option.
pub fn listing(unmet: &[Unmet]) -> String {
    unmet.iter().map(|one| format!("  {one}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(name: &str, text: &str) -> (PathBuf, String) {
        (PathBuf::from(name), text.to_owned())
    }

    #[test]
    fn each_missing_option_is_named_with_its_fragment() {
        let config = "# remark\nCONFIG_A=y\nCONFIG_N=60\n# CONFIG_OFF is not set\n";
        let parts = [
            fragment(
                "base",
                "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_OFF is not set\n# CONFIG_ABSENT is not set\n",
            ),
            fragment("san", "CONFIG_N=30\n"),
        ];
        let found = unmet(config, &parts);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "CONFIG_B is n, wanted y (by base)",
                "CONFIG_N is 60, wanted 30 (by san)"
            ]
        );
    }

    #[test]
    fn a_later_fragment_overrides() {
        let parts = [
            fragment("base", "CONFIG_A=y\n"),
            fragment("san", "# CONFIG_A is not set\n"),
        ];
        assert!(unmet("", &parts).is_empty());
        assert_eq!(unmet("CONFIG_A=m\n", &parts[..1])[0].found, "m");
    }

    #[test]
    fn the_repositorys_fragments_are_read() {
        let kernels = crate::workspace::repository()
            .unwrap()
            .join("vmtest/kernels");
        let options = |parts: Vec<(PathBuf, String)>| -> BTreeMap<String, String> {
            parts.iter().flat_map(|(_, text)| parse(text)).collect()
        };
        let of = |kernel, option: &str| {
            let all = options(fragments(&kernels, kernel).unwrap());
            let needed = options(needed(&kernels, kernel).unwrap());
            (all.get(option).cloned(), needed.get(option).cloned())
        };
        let (y, n) = (Some("y".to_owned()), Some("n".to_owned()));
        for kernel in [KernelName::Fast, KernelName::San] {
            assert_eq!(of(kernel, "CONFIG_RUST"), (y.clone(), y.clone()));
            assert_eq!(of(kernel, "CONFIG_XFS_FS"), (y.clone(), None));
        }
        assert_eq!(of(KernelName::Oracle, "CONFIG_RUST"), (n.clone(), n));
        assert_eq!(of(KernelName::Oracle, "CONFIG_XFS_FS"), (None, None));
    }
}
