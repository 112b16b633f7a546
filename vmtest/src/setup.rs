// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a command stands on: the options, the repository, and whatever it asks to have made.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};
use serde::Serialize;

use crate::images::minbase;
use crate::provision::{erofs_utils, kernel, module, nydus, packages, virtme, Cache};
use crate::vm::{self, Boot};

/// Which of the harness' kernels to boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KernelName {
    /// Nothing that slows a file system down.
    #[default]
    Fast,
    /// Every sanitizer that sees Rust code.
    San,
    /// Linux 6.12 with its own C code for EROFS on demand; ondine.ko is not loaded.
    Oracle,
}

impl KernelName {
    /// As it is written on the command line and in file names.
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

    /// Whether ondine.ko can be built for it.
    pub fn takes_module(self) -> bool {
        self != Self::Oracle
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

    /// Load this ondine.ko as it is instead of building and checking one
    #[arg(long, global = true, value_name = "FILE")]
    pub module: Option<PathBuf>,

    /// Show the guest's console while it runs
    #[arg(long, global = true)]
    pub verbose: bool,
}

impl Options {
    /// The kernel that was asked for, or the usual one.
    pub fn kernel(&self) -> KernelName {
        self.kernel.unwrap_or_default()
    }
}

/// What a command stands on. Each thing is made at its first use and found in the cache later.
#[derive(Debug)]
pub struct Setup {
    options: Options,
    repo: PathBuf,
    cache: Cache,
    kernel: OnceCell<kernel::Kernel>,
    module: OnceCell<PathBuf>,
}

impl Setup {
    /// For the repository that this program was built from.
    pub fn new(options: Options) -> Result<Self> {
        let repo = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .filter(|repo| repo.join("vmtest/kernels").is_dir())
            .context("the repository that this program was built from is gone: build it again")?;
        Ok(Self {
            options,
            repo: repo.to_owned(),
            cache: Cache::open()?,
            kernel: OnceCell::new(),
            module: OnceCell::new(),
        })
    }

    /// The flags of the command line.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The repository's top directory.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// The cache of everything that was made.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The same repository and cache with another kernel of the harness' own.
    pub fn with_kernel(&self, kernel: KernelName) -> Result<Self> {
        let options = Options {
            kernel: Some(kernel),
            kernel_src: None,
            kernel_build: None,
            ..self.options.clone()
        };
        Self::new(options)
    }

    /// The kernel that the options ask for, built when it is not there yet.
    pub fn kernel(&self) -> Result<&kernel::Kernel> {
        if let Some(kernel) = self.kernel.get() {
            return Ok(kernel);
        }
        packages::ensure(&self.cache)?;
        let kernel = match (&self.options.kernel_build, &self.options.kernel_src) {
            (Some(dir), _) => kernel::existing(self, dir)?,
            (None, Some(dir)) => kernel::from_source(self, dir)?,
            (None, None) => kernel::ours(self)?,
        };
        Ok(self.kernel.get_or_init(|| kernel))
    }

    /// `ondine.ko` for [`kernel`](Setup::kernel), built and checked.
    pub fn module(&self) -> Result<&Path> {
        if self.module.get().is_none() {
            let kernel = self.options.kernel();
            if !kernel.takes_module() {
                bail!(
                    "ondine.ko is for Linux 7.3: with --kernel {} there are `conform` and \
                     `exec`, which loads nothing there",
                    kernel.as_str()
                );
            }
            let built = match &self.options.module {
                Some(given) => given.clone(),
                None => module::build(self, self.kernel()?)?,
            };
            let _ = self.module.set(built);
        }
        self.module
            .get()
            .map(PathBuf::as_path)
            .context("the module")
    }

    /// A guest with [`module`](Setup::module) loaded, under KVM when that works here.
    pub fn boot(&self) -> Result<Boot> {
        Ok(self
            .boot_without_module()?
            .module(Some(self.module()?.to_owned())))
    }

    /// A guest with nothing loaded.
    pub fn boot_without_module(&self) -> Result<Boot> {
        let kernel = self.kernel()?;
        let boot = Boot::new(virtme::runner(&self.cache)?, &kernel.image)
            .verbose(self.options.verbose)
            .log(self.cache.log("console"));
        let boot = if self.options.kernel() == KernelName::San {
            boot.memory("2G")
        } else {
            boot
        };
        let kvm = vm::kvm_works(&boot, &self.cache.dir("answers")?)?;
        Ok(boot.kvm(kvm))
    }

    /// `mkfs.erofs`, `fsck.erofs`, `dump.erofs` of a current release.
    pub fn erofs_utils(&self) -> Result<erofs_utils::ErofsUtils> {
        packages::ensure(&self.cache)?;
        erofs_utils::ensure(&self.cache)
    }

    /// Writes `value` to the file of `--json`, when there is one.
    pub fn report(&self, value: &impl Serialize) -> Result<()> {
        let Some(file) = &self.options.json else {
            return Ok(());
        };
        let text = serde_json::to_string_pretty(value)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// Everything that the commands need, made now; of kernels the one that the options ask for, or else
    /// all of the harness' own.
    pub fn everything(&self, refresh: bool) -> Result<()> {
        if refresh {
            self.cache.forget_choices()?;
        }
        if self.options.kernel_build.is_some() && refresh {
            bail!("--refresh looks for a newer kernel, --kernel-build brings its own");
        }
        let Options {
            kernel,
            kernel_src,
            kernel_build,
            ..
        } = &self.options;
        self.kernel()?;
        if kernel.is_none() && kernel_src.is_none() && kernel_build.is_none() {
            for other in [KernelName::San, KernelName::Oracle] {
                self.with_kernel(other)?.kernel()?;
            }
        }
        virtme::runner(&self.cache)?;
        self.erofs_utils()?;
        nydus::ensure(&self.cache)?;
        minbase::tree(&self.cache)?;
        self.boot_without_module()?;
        Ok(())
    }
}
