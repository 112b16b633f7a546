// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondine.ko`: built against a kernel, and let through only when the gates are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use xshell::cmd;

use super::kernel::{Kernel, Tools};
use super::{Key, Step};
use crate::gates;
use crate::setup::Setup;

/// Builds the module for `kernel`; nothing is done when neither of the two has changed.
pub fn build(setup: &Setup, kernel: &Kernel) -> Result<PathBuf> {
    let cache = setup.cache();
    let kmod = setup.repo().join("kmod");
    if !kmod.join("Kbuild").exists() {
        bail!(
            "there is no {}: the module cannot be built",
            kmod.join("Kbuild").display()
        );
    }
    let id = Key::new()
        .add(kmod.as_os_str().as_encoded_bytes())
        .add(kernel.build.as_os_str().as_encoded_bytes())
        .hex();
    let name = format!("module-{id}");
    let out = cache.dir(&name)?;
    let _lock = cache.lock(&name)?;
    let module = out.join("ondine.ko");
    let stamp = out.join(".stamp");
    let state = state(&kmod, kernel)?;
    if module.exists() && fs::read_to_string(&stamp).is_ok_and(|text| text == state) {
        return Ok(module);
    }
    let _ = fs::remove_file(&stamp);

    let tools = Tools::ensure(cache)?;
    let shell = tools.shell()?;
    let step = Step::begin(
        cache,
        &name,
        format!("building ondine.ko for {}", kernel.name),
    )?;
    let (build, tool) = (
        &kernel.build,
        format!("BINDGEN={}", tools.bindgen.display()),
    );
    let (source, target) = (
        format!("M={}", kmod.display()),
        format!("MO={}", out.display()),
    );
    let jobs = format!("-j{}", std::thread::available_parallelism()?);
    step.run(cmd!(
        shell,
        "make -C {build} {source} {target} LLVM=-19 {tool} {jobs} modules"
    ))?;
    if !module.exists() {
        bail!(
            "the build made no {}; its output: {}",
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
    gate(&kmod, &listing, &config)?;
    fs::write(&stamp, &state)?;
    Ok(module)
}

/// What no build gets past, all of it at once.
fn gate(kmod: &Path, undefined: &str, config: &str) -> Result<()> {
    let mut text = String::new();
    let panics = gates::symbols::panics(undefined, config);
    if !panics.is_empty() {
        text.push_str(
            "ondine.ko can panic (use the checked form: get, checked_*, try_from); it calls\n",
        );
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

/// A hash of everything the module is built from, but for the compilers, which the kernel fixes.
fn state(kmod: &Path, kernel: &Kernel) -> Result<String> {
    let mut files = Vec::new();
    gates::files_below(kmod, &mut files)?;
    files.sort();
    let mut key = Key::new();
    for file in &files {
        key = key.add(file.as_os_str().as_encoded_bytes()).file(file)?;
    }
    // A kernel that was built again has another table of symbols, or at least a newer one.
    let symbols = kernel.build.join("Module.symvers");
    let made = fs::metadata(&symbols)
        .and_then(|data| data.modified())
        .with_context(|| format!("{}", symbols.display()))?;
    Ok(key.file(&symbols)?.add(format!("{made:?}")).hex())
}
