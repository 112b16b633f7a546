// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A private apt: downloads packages of newer Debian suites from the mirror that this machine uses,
//! with configuration, lists and cache of its own. The machine's apt is not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use crate::cache::Cache;
use crate::step::Step;

/// The suites of the private apt, newest first.
const SUITES: &[&str] = &[
    "sid",
    "forky",
    "trixie-backports",
    "trixie",
    "bookworm-backports",
];

/// The kind of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A package to install.
    Binary,
    /// A source package.
    Source,
}

/// A private apt with up-to-date package lists.
#[derive(Debug)]
pub struct Apt {
    config: PathBuf,
    shell: Shell,
}

impl Apt {
    /// Configures the private apt and updates its package lists, as part of `step`.
    ///
    /// # Errors
    /// When the machine has no apt source for its own release, or the lists cannot be read.
    pub fn open(cache: &Cache, step: &Step) -> Result<Self> {
        let dir = cache.dir("apt")?;
        let _lock = cache.lock("apt")?;
        for part in ["lists/partial", "archives/partial", "none"] {
            fs::create_dir_all(dir.join(part))?;
        }
        fs::write(dir.join("status"), "")?;
        let mirror = system_mirror()?;
        fs::write(dir.join("sources.list"), source_list(&mirror))?;
        let config = dir.join("apt.conf");
        fs::write(&config, configuration(&dir))?;
        let shell = Shell::new()?;
        shell.set_var("APT_CONFIG", &config);
        let marker = dir.join("updated");
        if !is_recent(&marker) {
            step.run(cmd!(shell, "apt-get update"))?;
            fs::write(&marker, "")?;
        }
        Ok(Self { config, shell })
    }

    /// The versions of the binary or source package `package` in all suites.
    pub fn offers(&self, step: &Step, package: &str, kind: Kind) -> Result<Vec<String>> {
        let listing = step.read(cmd!(self.shell, "apt-cache madison {package}"))?;
        Ok(offers(&listing, kind))
    }

    /// Downloads `version` of `package` into `dir` and returns the file's path.
    pub fn download(
        &self,
        step: &Step,
        package: &str,
        version: &str,
        dir: &Path,
    ) -> Result<PathBuf> {
        self.shell.change_dir(dir);
        step.run(cmd!(self.shell, "apt-get download {package}={version}"))?;
        file_ending_with(dir, ".deb")
    }

    /// Downloads the source of `version` of `package` into `dir` and returns the path of the
    /// upstream archive.
    pub fn download_source(
        &self,
        step: &Step,
        package: &str,
        version: &str,
        dir: &Path,
    ) -> Result<PathBuf> {
        self.shell.change_dir(dir);
        step.run(cmd!(
            self.shell,
            "apt-get source --download-only {package}={version}"
        ))?;
        let archives = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path()));
        archives
            .filter(|path| path.extension().is_none_or(|end| end != "asc"))
            .find(|path| path.to_string_lossy().contains(".orig.tar."))
            .with_context(|| {
                format!("the source of {package} {version} has no upstream archive (.orig.tar)")
            })
    }

    /// The configuration file, for the variable `APT_CONFIG`.
    pub fn config(&self) -> &Path {
        &self.config
    }
}

/// True if the package lists were updated less than an hour ago.
fn is_recent(marker: &Path) -> bool {
    fs::metadata(marker)
        .and_then(|data| data.modified())
        .ok()
        .and_then(|time| time.elapsed().ok())
        .is_some_and(|age| age < Duration::from_secs(3600))
}

fn file_ending_with(dir: &Path, end: &str) -> Result<PathBuf> {
    fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(end))
        .with_context(|| format!("apt left no {end} file in {}", dir.display()))
}

/// The configuration, which replaces all settings of the machine. That includes `main` and `parts`:
/// container images put hooks there that delete downloaded packages.
fn configuration(dir: &Path) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    format!(
        "Dir::Etc::sourcelist \"{}\";\n\
         Dir::Etc::sourceparts \"{none}\";\n\
         Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"{none}\";\n\
         Dir::State::lists \"{}\";\n\
         Dir::State::status \"{}\";\n\
         Dir::Cache \"{}\";\n\
         Dir::Cache::archives \"{}\";\n\
         Acquire::Check-Valid-Until \"false\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
         APT::Sandbox::User \"root\";\n",
        at("sources.list"),
        at("lists"),
        at("status"),
        at(""),
        at("archives"),
        none = at("none"),
    )
}

/// The archive that the machine's own packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

fn source_list(mirror: &Mirror) -> String {
    let option = mirror
        .signed_by
        .as_ref()
        .map(|key| format!("[signed-by={key}] "))
        .unwrap_or_default();
    let mut text = String::new();
    for suite in SUITES {
        text.push_str(&format!("deb {option}{} {suite} main\n", mirror.uri));
    }
    for suite in ["sid", "forky"] {
        text.push_str(&format!("deb-src {option}{} {suite} main\n", mirror.uri));
    }
    text
}

fn system_mirror() -> Result<Mirror> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten();
    files.extend(parts.filter_map(|entry| Some(entry.ok()?.path())));
    files.sort();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("bookworm")
        .trim_matches('"');
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let found = match file.extension().and_then(|end| end.to_str()) {
            Some("sources") => from_stanzas(&text, codename),
            Some("list") => from_lines(&text, codename),
            _ => None,
        };
        if let Some(mirror) = found {
            return Ok(mirror);
        }
    }
    bail!(
        "no apt source of this machine has suite {codename}, component main: add one to \
         /etc/apt/sources.list.d, since the harness takes the mirror's address from there"
    )
}

/// The mirror of `codename` in a file of the deb822 form (`Types: deb` ...).
fn from_stanzas(text: &str, codename: &str) -> Option<Mirror> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza
                .lines()
                .filter(|line| !line.starts_with('#'))
                .find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name)
                        .then(|| value.trim().to_owned())
                })
        };
        let has = |name: &str, word: &str| {
            field(name).is_some_and(|value| value.split_whitespace().any(|one| one == word))
        };
        if !has("Types", "deb") || !has("Suites", codename) || !has("Components", "main") {
            return None;
        }
        if field("Enabled").is_some_and(|value| value == "no") {
            return None;
        }
        Some(Mirror {
            uri: field("URIs")?
                .split_whitespace()
                .next()?
                .trim_end_matches('/')
                .to_owned(),
            signed_by: field("Signed-By").filter(|key| key.starts_with('/')),
        })
    })
}

/// The mirror of `codename` in a file of the one-line form (`deb [options] uri suite component...`).
fn from_lines(text: &str, codename: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let rest = line
            .trim()
            .strip_prefix("deb")?
            .strip_prefix([' ', '\t'])?
            .trim();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        if words.next()? != codename || !words.any(|component| component == "main") {
            return None;
        }
        let signed_by = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="))
            .map(str::to_owned);
        Some(Mirror {
            uri: uri.trim_end_matches('/').to_owned(),
            signed_by,
        })
    })
}

/// The versions of one kind in the output of `apt-cache madison`, whose lines are
/// `package | version | URL suite/component Packages` (or `Sources`). It lists source packages
/// under the names of their binary packages too.
fn offers(text: &str, kind: Kind) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split('|').map(str::trim);
            let (_, version, place) = (fields.next()?, fields.next()?, fields.next()?);
            let source = place.ends_with("Sources");
            (source == (kind == Kind::Source)).then(|| version.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_forms() {
        let stanzas = "Types: deb\nURIs: http://other.invalid/x\nSuites: stable\nComponents: main\n\n\
                       Types: deb\n# a remark: with a colon\nURIs: http://mirror.invalid/debian/\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n";
        let expected = Mirror {
            uri: "http://mirror.invalid/debian".to_owned(),
            signed_by: Some("/k.gpg".to_owned()),
        };
        assert_eq!(from_stanzas(stanzas, "bookworm"), Some(expected.clone()));
        let lines = "# deb http://no.invalid bookworm main\n\
                     deb-src http://no.invalid bookworm main\n\
                     deb http://security.invalid bookworm-security main\n\
                     deb [arch=amd64 signed-by=/k.gpg] http://mirror.invalid/debian bookworm contrib main\n";
        assert_eq!(from_lines(lines, "bookworm"), Some(expected));
        assert_eq!(from_lines(lines, "trixie"), None);
    }

    #[test]
    fn the_private_configuration_reads_nothing_of_the_machines() {
        let text = configuration(Path::new("/c"));
        for line in [
            "Dir::Etc::parts \"/c/none\";",
            "Dir::Etc::main \"/dev/null\";",
            "Dir::State::status \"/c/status\";",
        ] {
            assert!(text.contains(line), "{line}");
        }
        let mirror = Mirror {
            uri: "http://m.invalid".to_owned(),
            signed_by: None,
        };
        assert!(source_list(&mirror).starts_with("deb http://m.invalid sid main\n"));
    }

    #[test]
    fn offers_are_read() {
        let text =
            " rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.invalid sid/main amd64 Packages\n\
                    erofs-utils | 1.9.4-1 | http://m.invalid sid/main Sources\n";
        assert_eq!(offers(text, Kind::Binary), ["1.95.0+dfsg1-2~bpo13+1"]);
        assert_eq!(offers(text, Kind::Source), ["1.9.4-1"]);
    }
}
