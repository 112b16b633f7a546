// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The inputs of every build: the repository, the cache and the command line's options.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cache::Cache;

/// A kernel of the harness, with its configuration in `vmtest/kernels`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelName {
    /// No debugging options that slow the file system down.
    #[default]
    Fast,
    /// Every sanitizer that covers Rust code.
    San,
    /// Linux 6.12 with the C driver for on-demand EROFS; ondine.ko is not loaded.
    Oracle,
}

impl KernelName {
    /// The name on the command line and in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::San => "san",
            Self::Oracle => "oracle",
        }
    }

    /// The series of Linux that it is built from.
    pub fn series(self) -> &'static str {
        match self {
            Self::Fast | Self::San => "7.3",
            Self::Oracle => "6.12",
        }
    }

    /// True if ondine.ko can be built for this kernel.
    pub fn takes_module(self) -> bool {
        self != Self::Oracle
    }
}

/// The C compiler of a kernel, and of modules for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// The machine's gcc.
    Gcc,
    /// LLVM 19: clang, lld and binutils.
    Clang,
}

impl Compiler {
    /// The compiler of the kernel with this `.config`.
    pub fn of(config: &str) -> Self {
        let clang = config.lines().any(|line| line == "CONFIG_CC_IS_CLANG=y");
        if clang {
            Self::Clang
        } else {
            Self::Gcc
        }
    }

    /// The argument of `make` that chooses it, if one is needed.
    pub fn option(self) -> Option<&'static str> {
        match self {
            Self::Gcc => None,
            Self::Clang => Some("LLVM=-19"),
        }
    }
}

/// The flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Kernel to boot [default: fast; conform: fast, then oracle]
    #[arg(long, global = true, value_enum)]
    pub kernel: Option<KernelName>,

    /// Build the kernel from this source tree instead of Debian's
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        conflicts_with = "kernel_build"
    )]
    pub kernel_src: Option<PathBuf>,

    /// Boot the kernel that was built in this directory
    #[arg(long, global = true, value_name = "DIR")]
    pub kernel_build: Option<PathBuf>,

    /// Write the machine-readable result to this file
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Load this ondine.ko, unchecked, instead of building one
    #[arg(long, global = true, value_name = "FILE")]
    pub module: Option<PathBuf>,

    /// Show the guest's console while it runs
    #[arg(long, global = true)]
    pub verbose: bool,
}

impl Options {
    /// The kernel of `--kernel`, or the default.
    pub fn kernel(&self) -> KernelName {
        self.kernel.unwrap_or_default()
    }
}

/// The repository (sources), the cache (results) and the options of a command.
#[derive(Debug)]
pub struct Workspace {
    repo: PathBuf,
    cache: Cache,
    options: Options,
}

/// The top directory of the repository that this program was built from.
///
/// # Errors
/// When the directory no longer exists.
pub fn repository() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|dir| dir.join("vmtest/kernels").is_dir())
        .map(Path::to_owned)
        .with_context(|| {
            format!(
                "the repository around {} that this program was built from no longer exists: \
                 run `cargo vmtest` in the repository that you use now",
                env!("CARGO_MANIFEST_DIR")
            )
        })
}

impl Workspace {
    /// The repository that this program was built from, and the user's cache.
    ///
    /// # Errors
    /// When the repository no longer exists or the cache cannot be created.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self {
            repo: repository()?,
            cache: Cache::open()?,
            options,
        })
    }

    /// The repository's top directory.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// The build cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The command line's options.
    pub fn options(&self) -> &Options {
        &self.options
    }
}
