// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Init process of the guest: mounts, loads the module, runs the command, powers off.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use rustix::mount::{mount, mount_bind, MountFlags};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use rustix::system::RebootCommand;
use vmtest_wire::boot::{port, Job, Report, JOB_VARIABLE};
use vmtest_wire::paths::{HOST_VIEW, SCRATCH};

/// Returns true if this process is the init of a guest that the harness booted.
pub fn is_init() -> bool {
    std::process::id() == 1 && std::env::var_os(JOB_VARIABLE).is_some()
}

/// Runs the job and powers off. Never returns: the kernel panics when init exits.
pub fn main() -> ! {
    let mut reporter = None;
    if let Err(why) = work(&mut reporter) {
        let why = format!("{why:#}");
        kernel_log(&why);
        if let Some(reporter) = &mut reporter {
            let _ = tell(reporter, &Report::Failed(why));
        }
    }
    rustix::fs::sync();
    loop {
        let _ = rustix::system::reboot(RebootCommand::PowerOff);
        thread::sleep(Duration::from_secs(1));
    }
}

fn work(reporter: &mut Option<File>) -> Result<()> {
    file_systems()?;
    allow_descriptors()?;
    let report = reporter.insert(open_port(port::REPORT, true)?);
    let job = read_job()?;
    power_off_after(Duration::from_secs(job.limit_seconds) + Duration::from_secs(60));
    let rw = job.rw.iter().try_for_each(|(tag, dir)| writable(tag, dir));
    let code = rw.and_then(|()| {
        load(&job)?;
        tell(report, &Report::Started)?;
        if job.argv.is_empty() {
            shell(&job)
        } else {
            command(&job)
        }
    })?;
    tell(report, &Report::Exit(code))
}

fn tell(reporter: &mut File, report: &Report) -> Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    Ok(reporter.write_all(&line)?)
}

fn kernel_log(text: &str) {
    if let Ok(mut log) = OpenOptions::new().write(true).open("/dev/kmsg") {
        let _ = log.write_all(format!("<4>vmtest: {text}").as_bytes());
    }
}

fn put(source: &str, target: &str, kind: &str, data: &str) -> Result<()> {
    let data = CString::new(data)?;
    mount(source, target, kind, MountFlags::empty(), data.as_c_str())
        .with_context(|| format!("mounting {kind} on {target}"))
}

/// Raises the limit of open files to that of systemd services; the kernel's default is 4096.
fn allow_descriptors() -> Result<()> {
    let limit = Rlimit {
        maximum: Some(512 << 10),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).context("raising the limit of open files")
}

fn file_systems() -> Result<()> {
    put("proc", "/proc", "proc", "")?;
    put("sysfs", "/sys", "sysfs", "")?;
    put("run", "/run", "tmpfs", "mode=0755")?;
    // A developer's own kernel may lack the following ones; programs that need them report that.
    let optional = |source: &str, target: &str, kind: &str, data: &str| {
        let _ = fs::create_dir_all(target);
        if let Err(why) = put(source, target, kind, data) {
            kernel_log(&format!("{why:#}"));
        }
    };
    if !Path::new("/dev/null").exists() {
        put("devtmpfs", "/dev", "devtmpfs", "")?;
    }
    optional(
        "devpts",
        "/dev/pts",
        "devpts",
        "gid=5,mode=620,ptmxmode=666",
    );
    optional("shm", "/dev/shm", "tmpfs", "mode=1777");
    optional("debugfs", "/sys/kernel/debug", "debugfs", "");
    optional("cgroup2", "/sys/fs/cgroup", "cgroup2", "");
    optional("scratch", SCRATCH, "tmpfs", "mode=1777,size=90%");
    fs::create_dir_all(HOST_VIEW)?;
    mount_bind("/", HOST_VIEW).context("binding the host's root")?;
    optional("upper", "/run/upper", "tmpfs", "mode=0755");
    for name in ["tmp", "var", "etc"] {
        let (upper, work) = (
            format!("/run/upper/{name}"),
            format!("/run/upper/{name}.work"),
        );
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let options = format!("lowerdir=/{name},upperdir={upper},workdir={work}");
        optional("overlay", &format!("/{name}"), "overlay", &options);
    }
    for (link, to) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = std::os::unix::fs::symlink(to, link);
    }
    let _ = fs::create_dir_all("/run/lock");
    let _ = rustix::system::sethostname(b"ondine");
    Ok(())
}

fn read_job() -> Result<Job> {
    let path =
        std::env::var(JOB_VARIABLE).context("reading the job's path from the environment")?;
    let text = fs::read(&path).with_context(|| format!("reading the job {path}"))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Mounts a host directory at its own path, writable through to the host. `cache=mmap` has a page cache
/// for shared mappings alone; without it mmap(2) refuses them.
fn writable(tag: &str, dir: &Path) -> Result<()> {
    let target = dir.to_str().context("a --rw path that is not UTF-8")?;
    put(
        tag,
        target,
        "9p",
        "trans=virtio,version=9p2000.L,access=any,msize=500000,cache=mmap",
    )
}

fn load(job: &Job) -> Result<()> {
    let Some(module) = &job.module else {
        return Ok(());
    };
    let file = File::open(module).with_context(|| format!("{}", module.display()))?;
    let params = CString::new(job.module_params.join(" "))?;
    rustix::system::finit_module(&file, &params, 0).with_context(|| {
        format!(
            "loading {} (the kernel's reason is on the console)",
            module.display()
        )
    })
}

fn prepare(command: &mut Command, job: &Job) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root")
        .env("TERM", "xterm")
        .env("SCRATCH", SCRATCH)
        .env("TMPDIR", SCRATCH)
        .envs(job.env.iter().map(|(name, value)| (name, value)))
        .current_dir(if job.cwd.is_dir() {
            &job.cwd
        } else {
            Path::new("/")
        });
}

fn shell(job: &Job) -> Result<i32> {
    let console = || OpenOptions::new().read(true).write(true).open("/dev/ttyS0");
    let mut command = Command::new("setsid");
    // The host user's start-up files expect a writable host.
    command.args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"]);
    prepare(&mut command, job);
    command.env("PS1", "ondine:\\w# ");
    let mut child = command
        .stdin(console()?)
        .stdout(console()?)
        .stderr(console()?)
        .spawn()
        .context("starting a shell")?;
    Ok(code_of(child.wait()?))
}

/// Runs the command with pipes: a virtio port can be opened only once, but programs open
/// `/dev/stdout` again.
fn command(job: &Job) -> Result<i32> {
    let mut command = Command::new(&job.argv[0]);
    command.args(&job.argv[1..]);
    prepare(&mut command, job);
    let (stdout, stderr) = (
        open_port(port::STDOUT, true)?,
        open_port(port::STDERR, true)?,
    );
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if job.stdin {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(why) => {
            // As in a shell: an error of the command, not of the machine.
            let mut stderr = stderr;
            writeln!(stderr, "{}: {why}", job.argv[0])?;
            return Ok(if why.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            });
        }
    };
    if let Some(mut to) = child.stdin.take() {
        let mut from = open_port(port::STDIN, false)?;
        thread::spawn(move || unframe(&mut from, &mut to));
    }
    let copiers = [
        child.stdout.take().map(|from| copier(from, stdout)),
        child.stderr.take().map(|from| copier(from, stderr)),
    ];
    let status = child.wait()?;
    // A process left in the background may hold the pipes open: wait for its output for a second
    // only.
    let patience = Instant::now() + Duration::from_secs(1);
    for copier in copiers.into_iter().flatten() {
        while !copier.is_finished() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(code_of(status))
}

/// Copies the payload of frames from the host into `to`, until the frame of length 0. The caller
/// then drops, and so closes, `to`.
fn unframe(from: &mut impl Read, to: &mut impl Write) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            return Ok(());
        }
        buffer.resize(length, 0);
        from.read_exact(&mut buffer)?;
        to.write_all(&buffer)?;
    }
}

fn copier<R: Read + Send + 'static>(mut from: R, mut to: File) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1)
}

/// Opens the virtio-serial port called `name`. There is no udev, so its number is looked up in
/// sysfs.
fn open_port(name: &str, write: bool) -> Result<File> {
    let mut known = Vec::new();
    let ports = fs::read_dir("/sys/class/virtio-ports")
        .context("the guest's kernel has no virtio-serial ports")?;
    for entry in ports {
        let entry = entry?;
        let Ok(found) = fs::read_to_string(entry.path().join("name")) else {
            continue;
        };
        if found.trim() == name {
            let device = PathBuf::from("/dev").join(entry.file_name());
            return OpenOptions::new()
                .read(!write)
                .write(write)
                .open(&device)
                .with_context(|| format!("opening {} for {name}", device.display()));
        }
        known.push(found.trim().to_owned());
    }
    bail!("the machine has no port {name} (it has {known:?})")
}

/// Powers the guest off after `limit`, in case the host side has died.
fn power_off_after(limit: Duration) {
    thread::spawn(move || {
        thread::sleep(limit);
        kernel_log("past its time limit: powering off");
        let _ = rustix::system::reboot(RebootCommand::PowerOff);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_the_input_and_its_end() {
        let sent = [
            b"\x03\0\0\0abc".as_slice(),
            b"\x01\0\0\0d",
            b"\0\0\0\0",
            b"after",
        ]
        .concat();
        let mut got = Vec::new();
        unframe(&mut sent.as_slice(), &mut got).unwrap();
        assert_eq!(got, b"abcd");
        assert!(unframe(&mut b"\x09\0\0\0ab".as_slice(), &mut got).is_err());
    }

    #[test]
    fn a_signal_has_the_shells_code() {
        assert_eq!(code_of(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code_of(ExitStatus::from_raw(9)), 137);
    }
}
