// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Kernels: built from Debian's or the developer's source with the harness' fragments, or taken from
//! the developer's build directory.

use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use xshell::{cmd, Shell};

use super::{bindgen, packages, rust_src, source};
use crate::cache::{Cache, Key};
use crate::kconfig;
use crate::step::Step;
use crate::workspace::{Compiler, KernelName, Workspace};

/// A built kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The name in messages.
    pub name: String,
    /// The path of the bootable image.
    pub image: PathBuf,
    /// The build directory, which a module is built against.
    pub build: PathBuf,
}

const IMAGE: &str = "arch/x86/boot/bzImage";

/// Builds the kernel of `--kernel` from Debian's source if it is not in the cache.
///
/// # Errors
/// When a tool or the source cannot be fetched, or the kernel does not build.
pub fn ours(workspace: &Workspace) -> Result<Kernel> {
    let cache = workspace.cache();
    let (tree, version) = source::ensure(cache, workspace.options().kernel().series())?;
    let name = workspace.options().kernel().as_str();
    let key = key(workspace)?.add(&version);
    let step = format!("kernel-{name}");
    if let Some(build) = cache.find(&step, &key) {
        return Ok(kernel(name, build));
    }
    let tools = Tools::ensure(cache)?;
    let build = cache.in_place(&step, &key, |build| {
        // One kernel at a time: each build uses all processors.
        let _lock = cache.lock("kernels")?;
        let step = Step::begin(
            cache,
            &step,
            format!("building the {name} kernel, Linux {version}"),
        )?;
        make(workspace, name, &tree, build, &tools, &step)
    })?;
    Ok(kernel(name, build))
}

/// Builds the kernel of `--kernel-src`: the source tree `tree` with the harness' fragments, in a
/// build directory of the cache.
///
/// # Errors
/// When `tree` is not a Linux source tree with Rust, or the kernel does not build.
pub fn from_source(workspace: &Workspace, tree: &Path) -> Result<Kernel> {
    let cache = workspace.cache();
    let tree = std::fs::canonicalize(tree)
        .with_context(|| format!("--kernel-src {} does not exist", tree.display()))?;
    if !tree.join("Kconfig").exists() || !tree.join("rust/Makefile").exists() {
        bail!(
            "--kernel-src {} is not a Linux source tree with Rust (no Kconfig or no rust/Makefile)",
            tree.display()
        );
    }
    let name = workspace.options().kernel().as_str();
    let id = key(workspace)?
        .add(tree.as_os_str().as_encoded_bytes())
        .hex();
    let lock = format!("kernel-src-{name}-{id}");
    let build = cache.dir(&lock)?;
    let tools = Tools::ensure(cache)?;
    let _lock = cache.lock(&lock)?;
    let what = format!("building the {name} kernel from {}", tree.display());
    // No cached result: the tree may have changed, and make knows what to rebuild.
    let step = Step::begin(cache, &lock, what)?;
    make(workspace, name, &tree, &build, &tools, &step)?;
    Ok(kernel(name, build))
}

/// The kernel of `--kernel-build`, which is not changed.
///
/// # Errors
/// When the directory lacks a file of the build, or the configuration an option that guests need.
pub fn existing(workspace: &Workspace, build: &Path) -> Result<Kernel> {
    let build = std::fs::canonicalize(build)
        .with_context(|| format!("--kernel-build {} does not exist", build.display()))?;
    let mut needed = vec![
        (".config", "configure the kernel first"),
        (IMAGE, "`make bzImage` builds it"),
    ];
    if workspace.options().kernel().takes_module() {
        needed.extend([
            ("Module.symvers", "`make modules` builds it"),
            (
                "rust/libkernel.rmeta",
                "set CONFIG_RUST=y, then `make` builds it",
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
    let kernels = workspace.repo().join("vmtest/kernels");
    // Requires only the options that guests need, not every option of the fragments.
    let fragments = kconfig::needed(&kernels, workspace.options().kernel())?;
    let unmet = needed_of(kconfig::unmet(&config, &fragments));
    if !unmet.is_empty() {
        bail!(
            "--kernel-build {}: these options are missing\n{}\
             merge the fragments into .config (scripts/kconfig/merge_config.sh) and build the kernel again",
            build.display(),
            kconfig::listing(&unmet)
        );
    }
    Ok(kernel(&build.display().to_string(), build.clone()))
}

/// The unmet options that a guest needs: those that a fragment sets to `y`. `m` does not satisfy
/// them, since a guest loads no modules but ondine.ko. `n` in a fragment is not a requirement.
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

/// The fragments of the kernel of `--kernel`.
fn fragments(workspace: &Workspace) -> Result<Vec<(PathBuf, String)>> {
    kconfig::fragments(
        &workspace.repo().join("vmtest/kernels"),
        workspace.options().kernel(),
    )
}

/// The hash of a kernel's inputs except its source: compiler and configuration fragments.
fn key(workspace: &Workspace) -> Result<Key> {
    let shell = Shell::new()?;
    let rustc = cmd!(shell, "rustc --version")
        .quiet()
        .read()
        .context("rustc is not in PATH")?;
    let compiler = match compiler(workspace.options().kernel()) {
        Compiler::Clang => "llvm-19".to_owned(),
        Compiler::Gcc => cmd!(shell, "gcc --version")
            .quiet()
            .read()
            .context("gcc is not in PATH")?,
    };
    let mut key = Key::new().add(rustc).add(compiler);
    for (_, text) in fragments(workspace)? {
        key = key.add(text);
    }
    Ok(key)
}

/// The compiler that builds the kernel `name`: gcc, which takes less time, but for `san`, whose C and
/// Rust code get their sanitizers from one LLVM.
fn compiler(name: KernelName) -> Compiler {
    match name {
        KernelName::San => Compiler::Clang,
        KernelName::Fast | KernelName::Oracle => Compiler::Gcc,
    }
}

/// The build's tools that are not packages of the machine.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) bindgen: PathBuf,
    /// The source of Rust's standard library.
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

    /// A shell with the environment variables that name the tools for Kbuild.
    pub(super) fn shell(&self) -> Result<Shell> {
        let shell = Shell::new()?;
        shell.set_var("RUST_LIB_SRC", &self.library);
        shell.set_var("BINDGEN", &self.bindgen);
        // Variables of the caller (cargo, make) that would change the kernel's build.
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

/// Configures and builds the kernel in `build`. Resumes an interrupted build.
fn make(
    workspace: &Workspace,
    name: &str,
    tree: &Path,
    build: &Path,
    tools: &Tools,
    step: &Step,
) -> Result<()> {
    let shell = tools.shell()?;
    let fragments = fragments(workspace)?;
    let config = build.join(".config");
    let tool = format!("BINDGEN={}", tools.bindgen.display());
    let out = format!("O={}", build.display());
    let tree_name = tree.display().to_string();
    let mut common = vec!["-C", &tree_name, &out, &tool];
    common.extend(compiler(workspace.options().kernel()).option());
    let common = &common;

    let unmet_in = |text: &str| kconfig::unmet(text, &fragments);
    let before = std::fs::read_to_string(&config).unwrap_or_default();
    if before.is_empty() || !unmet_in(&before).is_empty() {
        let wanted = build.join("fragments.config");
        let texts: Vec<&str> = fragments.iter().map(|(_, text)| text.as_str()).collect();
        std::fs::write(&wanted, texts.concat())
            .with_context(|| format!("writing {}", wanted.display()))?;
        // `allnoconfig` with the fragments, not over it: `olddefconfig` would turn on each
        // `default y` that a fragment makes visible, some 200 options that no guest needs.
        let wanted = format!("KCONFIG_ALLCONFIG={}", wanted.display());
        step.run(cmd!(shell, "make {common...} {wanted} allnoconfig"))?;
    }
    let unmet = unmet_in(&std::fs::read_to_string(&config)?);
    if !unmet.is_empty() {
        bail!(
            "the configuration of the {name} kernel lacks options of its fragments:\n{}\
             (an option depends on one that is off, or this release does not have it)",
            kconfig::listing(&unmet)
        );
    }
    let jobs = format!("-j{}", std::thread::available_parallelism()?);
    step.run(cmd!(shell, "make {common...} {jobs} bzImage modules"))
}
