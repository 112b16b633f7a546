// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The entry point of the harness' commands: gives the kernel, the module and the guest that the
//! command line asks for, and builds them if needed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{bail, Context, Result};
use serde::Serialize;

use crate::cache::Cache;
use crate::images::debian_root;
use crate::provision::{erofs_utils, kernel, module, nydus, packages, virtme};
use crate::vm::{self, Boot};
use crate::workspace::{KernelName, Options, Workspace};

/// The surroundings of one command. Each part is built at its first use and found in the cache later.
#[derive(Debug)]
pub struct Setup {
    workspace: Workspace,
    kernel: OnceLock<kernel::Kernel>,
    module: OnceLock<PathBuf>,
}

impl Setup {
    /// The setup for the repository that this program was built from.
    ///
    /// # Errors
    /// When the repository no longer exists or the cache cannot be created.
    pub fn new(options: Options) -> Result<Self> {
        Ok(Self {
            workspace: Workspace::new(options)?,
            kernel: OnceLock::new(),
            module: OnceLock::new(),
        })
    }

    /// The repository, the cache and the options.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The command line's options.
    pub fn options(&self) -> &Options {
        self.workspace.options()
    }

    /// The repository's top directory.
    pub fn repo(&self) -> &Path {
        self.workspace.repo()
    }

    /// The build cache.
    pub fn cache(&self) -> &Cache {
        self.workspace.cache()
    }

    /// The same setup with another of the harness' kernels.
    pub fn with_kernel(&self, kernel: KernelName) -> Result<Self> {
        let options = Options {
            kernel: Some(kernel),
            kernel_src: None,
            kernel_build: None,
            ..self.options().clone()
        };
        Self::new(options)
    }

    /// The kernel that the options ask for. Builds it if it is not in the cache.
    ///
    /// # Errors
    /// When a package is missing, a download fails, or the kernel does not build.
    pub fn kernel(&self) -> Result<&kernel::Kernel> {
        if let Some(kernel) = self.kernel.get() {
            return Ok(kernel);
        }
        packages::ensure(self.cache())?;
        let kernel = match (&self.options().kernel_build, &self.options().kernel_src) {
            (Some(dir), _) => kernel::existing(&self.workspace, dir)?,
            (None, Some(dir)) => kernel::from_source(&self.workspace, dir)?,
            (None, None) => kernel::ours(&self.workspace)?,
        };
        Ok(self.kernel.get_or_init(|| kernel))
    }

    /// `ondine.ko` for [`kernel`](Setup::kernel): built and checked, or the file of `--module`.
    ///
    /// # Errors
    /// When the module does not build or a check rejects it, or when the kernel is `oracle`.
    pub fn module(&self) -> Result<&Path> {
        if self.module.get().is_none() {
            self.takes_module()?;
            let built = match &self.options().module {
                Some(given) => given.clone(),
                None => module::build(&self.workspace, self.kernel()?)?,
            };
            let _ = self.module.set(built);
        }
        self.module
            .get()
            .map(PathBuf::as_path)
            .context("the module was not built")
    }

    /// Runs clippy on the module's Rust code with the lints of [`kernel`](Setup::kernel).
    ///
    /// # Errors
    /// When clippy reports a warning, or clippy-driver is missing.
    pub fn lint_module(&self) -> Result<()> {
        self.takes_module()?;
        module::lint(&self.workspace, self.kernel()?)
    }

    /// Writes the documentation of the module's glue crate to `target/doc-kmod` and returns the
    /// path of its front page.
    ///
    /// # Errors
    /// When rustdoc reports a warning, such as a broken link.
    pub fn document_module(&self) -> Result<PathBuf> {
        self.takes_module()?;
        let target = self.repo().join("target/doc-kmod");
        module::document(&self.workspace, self.kernel()?, &target)
    }

    fn takes_module(&self) -> Result<()> {
        let kernel = self.options().kernel();
        if !kernel.takes_module() {
            bail!(
                "ondine.ko is for Linux 7.3 and cannot be built for --kernel {}: only `conform` and \
                 `exec` (without the module) run on that kernel",
                kernel.as_str()
            );
        }
        Ok(())
    }

    /// A guest with [`module`](Setup::module) loaded; under KVM if KVM works on this machine.
    pub fn boot(&self) -> Result<Boot> {
        Ok(self
            .boot_without_module()?
            .module(Some(self.module()?.to_owned())))
    }

    /// A guest without the module; under KVM if KVM works on this machine.
    pub fn boot_without_module(&self) -> Result<Boot> {
        let kernel = self.kernel()?;
        let boot = Boot::new(virtme::runner(self.cache())?, &kernel.image)
            .verbose(self.options().verbose)
            .log(self.cache().log("console"));
        let boot = if self.options().kernel() == KernelName::San {
            boot.memory("2G")
        } else {
            boot
        };
        let kvm = vm::kvm_works(&boot, &self.cache().dir("answers")?)?;
        Ok(boot.kvm(kvm))
    }

    /// `mkfs.erofs`, `fsck.erofs` and `dump.erofs` of the newest release in Debian. Builds them if
    /// they are not in the cache.
    pub fn erofs_utils(&self) -> Result<erofs_utils::ErofsUtils> {
        packages::ensure(self.cache())?;
        erofs_utils::ensure(self.cache())
    }

    /// Writes `value` to the file of `--json`. Does nothing without that option.
    pub fn report(&self, value: &impl Serialize) -> Result<()> {
        let Some(file) = &self.options().json else {
            return Ok(());
        };
        let text = serde_json::to_string_pretty(value)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }

    /// Builds everything that the commands need: tools, the root tree, and kernels. Without an
    /// option that names a kernel, all of the harness' kernels are built, and nydus, which only `check` needs. `refresh` looks for newer
    /// versions first.
    ///
    /// # Errors
    /// When a build fails, and when `refresh` is used with `--kernel-build`.
    pub fn everything(&self, refresh: bool) -> Result<()> {
        if refresh {
            self.cache().forget_choices()?;
        }
        if self.options().kernel_build.is_some() && refresh {
            bail!("--refresh has no effect on the kernel of --kernel-build: use one of the two");
        }
        let Options {
            kernel,
            kernel_src,
            kernel_build,
            ..
        } = self.options();
        self.kernel()?;
        if kernel.is_none() && kernel_src.is_none() && kernel_build.is_none() {
            for other in [KernelName::San, KernelName::Oracle] {
                self.with_kernel(other)?.kernel()?;
            }
            nydus::ensure(self.cache())?;
        }
        virtme::runner(self.cache())?;
        self.erofs_utils()?;
        debian_root::tree(self.cache())?;
        self.boot_without_module()?;
        Ok(())
    }
}
