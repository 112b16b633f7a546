// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondine.ko`: built against a kernel, and rejected if a check of [`gates`] fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use super::kernel::{Kernel, Tools};
use crate::cache::Key;
use crate::gates;
use crate::step::Step;
use crate::workspace::{Compiler, Workspace};

/// Builds and checks the module for `kernel`, and returns its path. Does nothing if neither the
/// module's sources nor the kernel have changed.
///
/// # Errors
/// When it does not build, or the symbol check or the unsafe check fails.
pub fn build(workspace: &Workspace, kernel: &Kernel) -> Result<PathBuf> {
    let dir = BuildDir::new(workspace, kernel, "module")?;
    let _lock = workspace.cache().lock(&dir.name)?;
    let module = dir.out.join("ondine.ko");
    let state = state(&dir.kmod, kernel)?;
    if module.exists() && dir.is_stamped(&state) {
        return Ok(module);
    }
    let tools = Tools::ensure(workspace.cache())?;
    let shell = tools.shell()?;
    let what = format!("building ondine.ko for {}", kernel.name);
    let step = Step::begin(workspace.cache(), &dir.name, what)?;
    dir.make(kernel, &tools, &step, &[])?;
    if !module.exists() {
        bail!(
            "Kbuild did not make {}; its output is in {}",
            module.display(),
            step.log().display()
        );
    }
    let listing = step.read(cmd!(
        shell,
        "llvm-nm-19 --undefined-only --format=posix {module}"
    ))?;
    drop(step);
    let config = fs::read_to_string(kernel.build.join(".config"))?;
    gate(&dir.kmod, &listing, &config)?;
    dir.stamp(&state)?;
    Ok(module)
}

/// Runs clippy with the kernel's lints on all Rust code of the module. A warning is an error.
pub fn lint(workspace: &Workspace, kernel: &Kernel) -> Result<()> {
    let driver = clippy_driver()?;
    // A directory of its own: make would take clippy's output for the compiler's objects.
    let dir = BuildDir::new(workspace, kernel, "module-lints")?;
    let _lock = workspace.cache().lock(&dir.name)?;
    let state = format!("{driver} {}", state(&dir.kmod, kernel)?);
    if dir.is_stamped(&state) {
        return Ok(());
    }
    let tools = Tools::ensure(workspace.cache())?;
    let what = format!("linting ondine.ko for {}", kernel.name);
    let step = Step::begin(workspace.cache(), &dir.name, what)?;
    dir.make(kernel, &tools, &step, &["CLIPPY=1"])?;
    dir.stamp(&state)
}

/// Writes the documentation of the module's glue crate, private items included, to `target` and
/// returns the path of its front page. A warning, such as a broken link, is an error.
pub fn document(workspace: &Workspace, kernel: &Kernel, target: &Path) -> Result<PathBuf> {
    build(workspace, kernel)?;
    let dir = BuildDir::new(workspace, kernel, "module")?;
    let _lock = workspace.cache().lock(&dir.name)?;
    let tools = Tools::ensure(workspace.cache())?;
    let step = Step::begin(
        workspace.cache(),
        "module-docs",
        "documenting the glue crate of ondine.ko",
    )?;
    fs::create_dir_all(target).with_context(|| format!("making {}", target.display()))?;
    let option = format!("ONDINE_DOC={}", target.display());
    dir.make(kernel, &tools, &step, &[&option])?;
    let page = target.join("ondine/index.html");
    if !page.exists() {
        bail!(
            "rustdoc did not write {}; its output is in {}",
            page.display(),
            step.log().display()
        );
    }
    Ok(page)
}

/// The module's sources, and the directory of the cache in which they are built for one kernel.
struct BuildDir {
    kmod: PathBuf,
    name: String,
    out: PathBuf,
}

impl BuildDir {
    fn new(workspace: &Workspace, kernel: &Kernel, purpose: &str) -> Result<Self> {
        let kmod = workspace.repo().join("kmod");
        if !kmod.join("Kbuild").exists() {
            bail!(
                "{} does not exist: the module cannot be built",
                kmod.join("Kbuild").display()
            );
        }
        let id = Key::new()
            .add(kmod.as_os_str().as_encoded_bytes())
            .add(kernel.build.as_os_str().as_encoded_bytes())
            .hex();
        let name = format!("{purpose}-{id}");
        let out = workspace.cache().dir(&name)?;
        Ok(Self { kmod, name, out })
    }

    /// Runs Kbuild. `W=e` turns every warning of rustc, clippy, rustdoc and the C compiler into an
    /// error, for the module's objects only.
    fn make(&self, kernel: &Kernel, tools: &Tools, step: &Step, options: &[&str]) -> Result<()> {
        let shell = tools.shell()?;
        let build = &kernel.build;
        let source = format!("M={}", self.kmod.display());
        let target = format!("MO={}", self.out.display());
        let tool = format!("BINDGEN={}", tools.bindgen.display());
        let jobs = format!("-j{}", std::thread::available_parallelism()?);
        let config = fs::read_to_string(build.join(".config"))?;
        let compiler = Compiler::of(&config).option();
        step.run(cmd!(
            shell,
            "make -C {build} {source} {target} {compiler...} {tool} {jobs} W=e {options...} modules"
        ))
    }

    /// True if the inputs `state` were built here and passed the checks. If they differ, the old
    /// stamp is removed.
    fn is_stamped(&self, state: &str) -> bool {
        let stamp = self.out.join(".stamp");
        let same = fs::read_to_string(&stamp).is_ok_and(|text| text == state);
        if !same {
            let _ = fs::remove_file(&stamp);
        }
        same
    }

    fn stamp(&self, state: &str) -> Result<()> {
        let stamp = self.out.join(".stamp");
        fs::write(&stamp, state).with_context(|| format!("writing {}", stamp.display()))
    }
}

/// The release of `clippy-driver`. It must equal the release of `rustc`, since clippy reads the
/// crates that rustc built for the kernel.
fn clippy_driver() -> Result<String> {
    let shell = Shell::new()?;
    let rustc = cmd!(shell, "rustc --version").quiet().read()?;
    // --rustc asks for the release of the compiler inside clippy-driver.
    let driver = cmd!(shell, "clippy-driver --rustc --version")
        .quiet()
        .ignore_stderr()
        .read();
    match driver {
        Ok(driver) if driver == rustc => Ok(driver),
        Ok(driver) => bail!(
            "clippy-driver belongs to {driver}, but the module is built by {rustc}: put the \
             clippy-driver of the same toolchain first in PATH (`rustup component add clippy` installs it)"
        ),
        Err(_) => bail!(
            "clippy-driver is not in PATH: `rustup component add clippy` installs it \
             (for Debian's rustc: apt-get install rust-clippy)"
        ),
    }
}

/// Runs the symbol check and the unsafe check; one error reports the faults of both.
fn gate(kmod: &Path, undefined: &str, config: &str) -> Result<()> {
    let mut text = String::new();
    let panics = gates::symbols::panics(undefined, config);
    if !panics.is_empty() {
        text.push_str("ondine.ko can panic (use get, checked_* or try_from); it calls\n");
        text.push_str(&gates::listing(&panics));
    }
    let faults = gates::unsafety::check(kmod)?;
    if !faults.is_empty() {
        text.push_str("the unsafe check of kmod/ found\n");
        text.push_str(&gates::listing(&faults));
    }
    if !text.is_empty() {
        bail!("{}", text.trim_end());
    }
    Ok(())
}

/// The hash of the module's inputs: its sources and the kernel. The kernel determines the compilers.
fn state(kmod: &Path, kernel: &Kernel) -> Result<String> {
    let mut files = Vec::new();
    gates::files_below(kmod, &mut files)?;
    files.sort();
    let mut key = Key::new();
    for file in &files {
        key = key.add(file.as_os_str().as_encoded_bytes()).file(file)?;
    }
    // Rebuilding the kernel changes its symbol table, or at least the time stamp of the file.
    let symbols = kernel.build.join("Module.symvers");
    let made = fs::metadata(&symbols)
        .and_then(|data| data.modified())
        .with_context(|| format!("{}", symbols.display()))?;
    Ok(key.file(&symbols)?.add(format!("{made:?}")).hex())
}
