// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What a guest is made of, and what came of running a command in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, Context, Result};
use serde::Serialize;

use super::console::Problem;
use super::job::Job;
use super::launch;

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

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct GuestRun {
    /// The command's exit code (128 + signal for a signal), or `None` when it did not end.
    pub exit_code: Option<i32>,
    /// What the command wrote to standard output.
    pub stdout: String,
    /// What the command wrote to standard error.
    pub stderr: String,
    /// The kernel's console, from the first line to power-off.
    pub console: String,
    /// What the console complains of. A run with any has failed, whatever the exit code.
    pub problems: Vec<Problem>,
    /// The guest was ended because it ran past its limit.
    pub timed_out: bool,
    /// Seconds from the start of the virtual machine to the start of the command.
    pub boot_seconds: f64,
    /// Seconds of the whole run.
    pub seconds: f64,
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

impl GuestRun {
    /// The command ended with 0 and the kernel had nothing to complain of.
    pub fn passed(&self) -> bool {
        self.exit_code == Some(0) && self.problems.is_empty() && !self.timed_out
    }

    /// The exit code that a harness command ends with: the command's own, or 1 when the kernel
    /// complained or the guest did not come to an end.
    pub fn code(&self) -> i32 {
        match self.exit_code {
            Some(0) if !self.problems.is_empty() => 1,
            Some(code) => code,
            None => 1,
        }
    }

    /// What went wrong, the kernel's own lines first; empty when the run passed.
    pub fn complaint(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&problem.to_string());
        }
        if self.timed_out {
            text.push_str(&format!(
                "the guest was ended after {:.0} s; the end of its console:\n{}\n",
                self.seconds,
                super::console::tail(&self.console, 20)
            ));
        } else if self.exit_code.is_none() && self.problems.is_empty() {
            text.push_str(&format!(
                "the guest went away before the command ended; the end of its console:\n{}\n",
                super::console::tail(&self.console, 20)
            ));
        }
        if let Some(code) = self.exit_code.filter(|code| *code != 0) {
            text.push_str(&format!("the command ended with {code}\n"));
            if !self.stderr.is_empty() {
                text.push_str(&super::console::tail(&self.stderr, 20));
                text.push('\n');
            }
        }
        text
    }

    /// The run itself when it passed, else an error with the [`complaint`](GuestRun::complaint).
    pub fn require(self) -> Result<Self> {
        if self.passed() {
            Ok(self)
        } else {
            bail!("{}", self.complaint().trim_end())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(exit_code: Option<i32>, problem: bool) -> GuestRun {
        let console = if problem { "BUG: bad\n" } else { "fine\n" };
        GuestRun {
            exit_code,
            stdout: String::new(),
            stderr: "oh".to_owned(),
            console: console.to_owned(),
            problems: super::super::scan(console),
            timed_out: false,
            boot_seconds: 0.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn a_complaint_of_the_kernel_fails_a_command_that_succeeded() {
        assert!(run(Some(0), false).passed());
        assert_eq!(run(Some(0), false).complaint(), "");
        assert!(!run(Some(0), true).passed());
        assert_eq!(run(Some(0), true).code(), 1);
        assert!(run(Some(0), true).complaint().starts_with("BUG: bad"));
    }

    #[test]
    fn the_commands_code_is_kept() {
        assert_eq!(run(Some(3), false).code(), 3);
        assert_eq!(run(Some(3), true).code(), 3);
        assert_eq!(run(None, false).code(), 1);
        assert!(run(Some(3), false).require().is_err());
    }

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
