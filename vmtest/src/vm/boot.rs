// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a guest is made of.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use super::job::Job;
use super::launch;
use super::outcome::GuestRun;

/// A guest to boot: one kernel, one module, one command at a time.
///
/// Each [`run`](Boot::run) is a fresh guest. The host's root is its root, read-only; `/tmp`, `/var`
/// and `/etc` can be written and are forgotten; [`HOST_VIEW`](super::HOST_VIEW) shows the host's
/// files without those overlays; [`SCRATCH`](super::SCRATCH) (also `$SCRATCH`) is an empty tmpfs.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) virtme: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) module: Option<PathBuf>,
    pub(crate) module_params: Vec<String>,
    pub(crate) cpus: u32,
    pub(crate) memory: String,
    pub(crate) append: Vec<String>,
    pub(crate) qemu: Vec<String>,
    pub(crate) drives: u32,
    pub(crate) rw: Vec<PathBuf>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) stdio: Stdio,
    pub(crate) limit: Duration,
    pub(crate) power_cut: Option<(PathBuf, Duration)>,
    pub(crate) kvm: bool,
    pub(crate) verbose: bool,
    pub(crate) log: Option<PathBuf>,
}

/// What happens to the standard streams of the guest's command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Kept in the [`GuestRun`]; nothing to read.
    #[default]
    Captured,
    /// Kept, and passed on to the caller's own streams as it comes; reads the caller's input.
    Passed,
}

impl Boot {
    /// A guest of the kernel image `kernel`, started by the `virtme-run` at `virtme`, no module.
    ///
    /// [`Setup::boot`](crate::Setup::boot) is the usual way here.
    pub fn new(virtme: impl Into<PathBuf>, kernel: impl Into<PathBuf>) -> Self {
        Self {
            virtme: virtme.into(),
            kernel: kernel.into(),
            module: None,
            module_params: Vec::new(),
            cpus: 2,
            memory: "1G".to_owned(),
            append: Vec::new(),
            qemu: Vec::new(),
            drives: 0,
            rw: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdio: Stdio::Captured,
            limit: Duration::from_secs(300),
            power_cut: None,
            kvm: false,
            verbose: false,
            log: None,
        }
    }

    /// Loads `module` before the command; `None` loads nothing.
    pub fn module(mut self, module: Option<PathBuf>) -> Self {
        self.module = module;
        self
    }

    /// A parameter of the module, as in `fstype=erofs`.
    pub fn module_param(mut self, param: impl Into<String>) -> Self {
        self.module_params.push(param.into());
        self
    }

    /// Number of processors; 2 unless told.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Memory in QEMU's words; `1G` unless told.
    pub fn memory(mut self, memory: impl Into<String>) -> Self {
        self.memory = memory.into();
        self
    }

    /// One more parameter on the kernel's command line.
    pub fn append(mut self, param: impl Into<String>) -> Self {
        self.append.push(param.into());
        self
    }

    /// More arguments for QEMU, each a word of its own.
    pub fn qemu<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.qemu.extend(args.into_iter().map(Into::into));
        self
    }

    /// Attaches `file` as a virtio disk: the first one is `/dev/vda`, the next `/dev/vdb`.
    pub fn drive(mut self, file: &Path, read_only: bool) -> Self {
        let id = format!("ondine_drive{}", self.drives);
        let only = if read_only { "on" } else { "off" };
        self.qemu.push("-drive".to_owned());
        self.qemu.push(format!(
            "if=none,id={id},format=raw,readonly={only},file={}",
            file.display().to_string().replace(',', ",,")
        ));
        self.qemu.push("-device".to_owned());
        self.qemu.push(format!("virtio-blk-pci,drive={id}"));
        self.drives += 1;
        self
    }

    /// Makes guest time count instructions (one nanosecond each): one processor, no KVM.
    pub fn count_instructions(mut self) -> Self {
        self.cpus = 1;
        self.kvm = false;
        self.qemu(["-icount", "shift=0,sleep=off"])
    }

    /// Lets the guest write the host's directory `dir`, at the same path.
    pub fn rw(mut self, dir: impl Into<PathBuf>) -> Self {
        self.rw.push(dir.into());
        self
    }

    /// An environment variable of the command.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The command's working directory; the caller's own unless told.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// What happens to the command's streams.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// How long the guest may take, from start to power-off; five minutes unless told.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Kills the machine so long after the file `sign` was made, by its command say.
    pub fn power_cut(mut self, sign: impl Into<PathBuf>, after: Duration) -> Self {
        self.power_cut = Some((sign.into(), after));
        self
    }

    /// Uses KVM. Ask [`kvm_works`](super::kvm_works) first.
    pub fn kvm(mut self, kvm: bool) -> Self {
        self.kvm = kvm;
        self
    }

    /// Shows the console on standard error while it runs.
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Keeps the console in `file`, complete even when this process is killed.
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Boots, runs `argv`, powers off.
    ///
    /// An error means that the command could not be tried: the machine did not start, the kernel
    /// did not reach its first process, or the module did not load. Everything later (a panic, a
    /// time limit, a code that is not zero) is in the [`GuestRun`].
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<GuestRun> {
        let argv: Vec<String> = argv
            .into_iter()
            .map(|word| match word.as_ref().to_str() {
                Some(text) => Ok(text.to_owned()),
                None => bail!(
                    "{:?} is not UTF-8, which the guest's job needs",
                    word.as_ref()
                ),
            })
            .collect::<Result<_>>()?;
        if argv.is_empty() {
            bail!("there is no command to run in the guest");
        }
        launch::captured(self, &self.job(argv)?)
    }

    /// Boots to an interactive shell on the terminal; its exit code.
    pub fn shell(&self) -> Result<i32> {
        launch::interactive(self, &self.job(Vec::new())?)
    }

    fn job(&self, argv: Vec<String>) -> Result<Job> {
        let absolute = |path: &PathBuf| {
            std::fs::canonicalize(path).with_context(|| format!("{} is not there", path.display()))
        };
        let mut rw = Vec::new();
        for (index, dir) in self.rw.iter().enumerate() {
            let dir = absolute(dir)?;
            if !dir.is_dir() {
                bail!("{} is not a directory", dir.display());
            }
            rw.push((format!("ondine_rw{index}"), dir));
        }
        Ok(Job {
            argv,
            env: self.env.clone(),
            cwd: match &self.cwd {
                Some(dir) => dir.clone(),
                None => std::env::current_dir()?,
            },
            module: self.module.as_ref().map(absolute).transpose()?,
            module_params: self.module_params.clone(),
            rw,
            stdin: self.stdio == Stdio::Passed,
            limit_seconds: self.limit.as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_get_their_own_names() {
        let boot = Boot::new("v", "k")
            .drive(Path::new("/a,b"), true)
            .drive(Path::new("/c"), false);
        assert!(boot.qemu[1].contains("id=ondine_drive0"));
        assert!(boot.qemu[1].ends_with("file=/a,,b"));
        assert!(boot.qemu[5].contains("id=ondine_drive1"));
    }
}
