// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Kernels: the harness' own, built from fragments, or a developer's.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use super::{bindgen, kconfig, packages, rust_src, source, Cache, Key, Step};
use crate::setup::Setup;

/// A built kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What to call it before a person.
    pub name: String,
    /// The image to boot.
    pub image: PathBuf,
    /// The directory it was built in, which a module is built against.
    pub build: PathBuf,
}

const IMAGE: &str = "arch/x86/boot/bzImage";

/// The kernel of `--kernel`, from Debian's source.
pub fn ours(setup: &Setup) -> Result<Kernel> {
    let cache = setup.cache();
    let (tree, version) = source::ensure(cache, setup.options().kernel().series())?;
    let name = setup.options().kernel().as_str();
    let key = key(setup, name)?.add(&version);
    let step = format!("kernel-{name}");
    if let Some(build) = cache.find(&step, &key) {
        return Ok(kernel(name, build));
    }
    let tools = Tools::ensure(cache)?;
    let build = cache.in_place(&step, &key, |build| {
        let step = Step::begin(
            cache,
            &step,
            format!("building the {name} kernel, Linux {version}"),
        )?;
        make(setup, name, &tree, build, &tools, &step)
    })?;
    Ok(kernel(name, build))
}

/// A kernel of `--kernel-src`: the developer's tree, our fragments, a build directory of ours.
pub fn from_source(setup: &Setup, tree: &Path) -> Result<Kernel> {
    let cache = setup.cache();
    let tree = std::fs::canonicalize(tree)
        .with_context(|| format!("--kernel-src {} is not there", tree.display()))?;
    if !tree.join("Kconfig").exists() || !tree.join("rust/Makefile").exists() {
        bail!(
            "--kernel-src {}: this is no Linux source tree with Rust",
            tree.display()
        );
    }
    let name = setup.options().kernel().as_str();
    let id = key(setup, name)?
        .add(tree.as_os_str().as_encoded_bytes())
        .hex();
    let lock = format!("kernel-src-{name}-{id}");
    let build = cache.dir(&lock)?;
    let tools = Tools::ensure(cache)?;
    let _lock = cache.lock(&lock)?;
    let what = format!("building the {name} kernel from {}", tree.display());
    // The tree is the developer's and may have changed: make decides what is to be done.
    let step = Step::begin(cache, &lock, what)?;
    make(setup, name, &tree, &build, &tools, &step)?;
    Ok(kernel(name, build))
}

/// A kernel of `--kernel-build`, as it is.
pub fn existing(setup: &Setup, build: &Path) -> Result<Kernel> {
    let build = std::fs::canonicalize(build)
        .with_context(|| format!("--kernel-build {} is not there", build.display()))?;
    let mut needed = vec![
        (".config", "configure it first"),
        (IMAGE, "`make LLVM=-19 bzImage` makes it"),
    ];
    if setup.options().kernel().takes_module() {
        needed.extend([
            ("Module.symvers", "`make LLVM=-19 modules` makes it"),
            (
                "rust/libkernel.rmeta",
                "CONFIG_RUST=y and `make LLVM=-19` make it",
            ),
        ]);
    }
    let missing: String = needed
        .iter()
        .filter(|(file, _)| !build.join(file).exists())
        .map(|(file, remedy)| format!("  {file}: {remedy}\n"))
        .collect();
    if !missing.is_empty() {
        bail!(
            "--kernel-build {} lacks\n{}",
            build.display(),
            missing.trim_end()
        );
    }
    let config = std::fs::read_to_string(build.join(".config"))?;
    let kernels = setup.repo().join("vmtest/kernels");
    // Only what the guests cannot do without: the rest of a fragment is this harness' taste.
    let fragments = kconfig::fragments(&kernels, setup.options().kernel().as_str())?;
    let unmet = needed_of(kconfig::unmet(&config, &fragments));
    if !unmet.is_empty() {
        bail!(
            "--kernel-build {}: these options are missing\n{}\
             merge the fragments named into its .config (scripts/kconfig/merge_config.sh) and build again",
            build.display(),
            kconfig::listing(&unmet)
        );
    }
    Ok(kernel(&build.display().to_string(), build.clone()))
}

/// A developer's kernel may have more than ours, never less: `n` in a fragment binds nobody, and
/// a module will not do where the guest has none to load.
fn needed_of(unmet: Vec<kconfig::Unmet>) -> Vec<kconfig::Unmet> {
    unmet.into_iter().filter(|one| one.wanted == "y").collect()
}

fn kernel(name: &str, build: PathBuf) -> Kernel {
    Kernel {
        name: name.to_owned(),
        image: build.join(IMAGE),
        build,
    }
}

/// What a kernel of the harness is made from, but for its source.
fn key(setup: &Setup, name: &str) -> Result<Key> {
    let shell = Shell::new()?;
    let rustc = cmd!(shell, "rustc --version")
        .quiet()
        .read()
        .context("rustc is not in PATH")?;
    let mut key = Key::new().add(rustc).add("llvm-19");
    for (_, text) in kconfig::fragments(&setup.repo().join("vmtest/kernels"), name)? {
        key = key.add(text);
    }
    Ok(key)
}

/// What the build calls beside the machine's own packages.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) bindgen: PathBuf,
    pub(super) library: PathBuf,
}

impl Tools {
    pub(super) fn ensure(cache: &Cache) -> Result<Self> {
        packages::ensure(cache)?;
        Ok(Self {
            bindgen: bindgen::ensure(cache)?,
            library: rust_src::ensure(cache)?,
        })
    }

    /// A shell whose `make` finds them.
    pub(super) fn shell(&self) -> Result<Shell> {
        let shell = Shell::new()?;
        shell.set_var("RUST_LIB_SRC", &self.library);
        shell.set_var("BINDGEN", &self.bindgen);
        // The caller's flags for cargo are not for the kernel.
        for name in [
            "RUSTFLAGS",
            "MAKEFLAGS",
            "MFLAGS",
            "MAKELEVEL",
            "KBUILD_OUTPUT",
            "ARCH",
        ] {
            if std::env::var_os(name).is_some() {
                shell.set_var(name, "");
            }
        }
        Ok(shell)
    }
}

/// Configures and builds; what an interrupted call has built stays built.
fn make(
    setup: &Setup,
    name: &str,
    tree: &Path,
    build: &Path,
    tools: &Tools,
    step: &Step,
) -> Result<()> {
    let shell = tools.shell()?;
    let fragments = kconfig::fragments(&setup.repo().join("vmtest/kernels"), name)?;
    let config = build.join(".config");
    let tool = format!("BINDGEN={}", tools.bindgen.display());
    let out = format!("O={}", build.display());
    let tree_name = tree.display().to_string();
    let common = &["-C", &tree_name, &out, "LLVM=-19", &tool];

    let held = |text: &str| kconfig::unmet(text, &fragments);
    let before = std::fs::read_to_string(&config).unwrap_or_default();
    if before.is_empty() || !held(&before).is_empty() {
        step.run(cmd!(shell, "make {common...} allnoconfig"))?;
        let merge = tree.join("scripts/kconfig/merge_config.sh");
        let paths: Vec<&Path> = fragments.iter().map(|(path, _)| path.as_path()).collect();
        step.run(cmd!(shell, "{merge} -m -O {build} {config} {paths...}"))?;
        step.run(cmd!(shell, "make {common...} olddefconfig"))?;
    }
    let unmet = held(&std::fs::read_to_string(&config)?);
    if !unmet.is_empty() {
        bail!(
            "the configuration of the {name} kernel did not hold:\n{}\
             (an option depends on another one that is off, or is not in this release)",
            kconfig::listing(&unmet)
        );
    }
    let jobs = format!("-j{}", std::thread::available_parallelism()?);
    step.run(cmd!(shell, "make {common...} {jobs} bzImage modules"))
}
