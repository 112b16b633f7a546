// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The description of a guest: kernel, module, disks, limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A guest to boot, with one kernel and at most one module.
///
/// Each [`run`](Boot::run) boots a fresh guest for one command. The guest's root is the host's root,
/// read-only. Writes to `/tmp`, `/var` and `/etc` go to overlays that are lost at power-off;
/// [`HOST_VIEW`](vmtest_wire::paths::HOST_VIEW) shows the host's files without these overlays;
/// [`SCRATCH`](vmtest_wire::paths::SCRATCH) (also `$SCRATCH`) is an empty tmpfs.
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
    pub(crate) provoked: Vec<&'static str>,
}

/// The handling of the standard streams of the guest's command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Output is kept in the [`GuestRun`](super::GuestRun); standard input is empty.
    #[default]
    Captured,
    /// Output is kept and also copied to the caller's streams; standard input is the caller's.
    Passed,
}

impl Boot {
    /// A guest with the kernel image `kernel`, started by the `virtme-run` at `virtme`, without a
    /// module. Suites use [`Setup::boot`](crate::Setup::boot) instead.
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
            provoked: Vec::new(),
        }
    }

    /// Loads `module` before the command; no module if `None`.
    pub fn module(mut self, module: Option<PathBuf>) -> Self {
        self.module = module;
        self
    }

    /// Adds a parameter of the module, such as `fstype=erofs`.
    pub fn module_param(mut self, param: impl Into<String>) -> Self {
        self.module_params.push(param.into());
        self
    }

    /// Sets the number of processors. The default is 2.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Sets the size of memory, in QEMU's syntax. The default is `1G`.
    pub fn memory(mut self, memory: impl Into<String>) -> Self {
        self.memory = memory.into();
        self
    }

    /// Adds a parameter to the kernel's command line.
    pub fn append(mut self, param: impl Into<String>) -> Self {
        self.append.push(param.into());
        self
    }

    /// Adds arguments of QEMU.
    pub fn qemu<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.qemu.extend(args.into_iter().map(Into::into));
        self
    }

    /// Attaches `file` as a virtio disk: the first is `/dev/vda`, the next `/dev/vdb`.
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

    /// Makes guest time count instructions, one nanosecond each. Forces one processor and no KVM.
    pub fn count_instructions(mut self) -> Self {
        self.cpus = 1;
        self.kvm = false;
        self.qemu(["-icount", "shift=0,sleep=off"])
    }

    /// Lets the guest write to the host's directory `dir`, at the same path.
    pub fn rw(mut self, dir: impl Into<PathBuf>) -> Self {
        self.rw.push(dir.into());
        self
    }

    /// Sets an environment variable of the command.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets the command's working directory. The default is the caller's.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets the handling of the command's standard streams.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.stdio = stdio;
        self
    }

    /// Sets the time limit from the start of the virtual machine to the end of the command. The default
    /// is five minutes.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Kills the virtual machine `after` the file `trigger` has appeared; the command creates it.
    pub fn power_cut(mut self, trigger: impl Into<PathBuf>, after: Duration) -> Self {
        self.power_cut = Some((trigger.into(), after));
        self
    }

    /// Uses KVM, or emulation. Check [`kvm_works`](super::kvm_works) first.
    pub fn kvm(mut self, kvm: bool) -> Self {
        self.kvm = kvm;
        self
    }

    /// Copies the console to standard error while the guest runs.
    pub fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Copies the console to `file` while the guest runs, so that it survives a kill of this process.
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Expects console lines with the text `text`, which the command provokes. They do not count as
    /// problems.
    pub fn provokes(mut self, text: &'static str) -> Self {
        self.provoked.push(text);
        self
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
