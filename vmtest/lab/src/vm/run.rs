// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The life of a virtual machine: start, reports, time limits, end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio as Process};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use vmtest_wire::boot::{port, Job, Report, JOB_VARIABLE};

use super::boot::{Boot, Stdio};
use super::console;
use super::outcome::GuestRun;
use super::ports::{collect, feed, listen_for_reports, serve, text, Port};
use super::self_exe::program;

/// Time limit from the start of QEMU to the guest's first process. Under emulation this takes a
/// second, or half a minute with every sanitizer.
const BOOT_LIMIT: Duration = Duration::from_secs(180);

/// Time limit from the end of the command to power-off.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(60);

/// Number of attempts to boot a guest that panics or hangs before its first process. On a busy host,
/// late or lost interrupts of the emulator can cause that. No code under test has run by then.
const BOOT_ATTEMPTS: u32 = 3;

/// The error of a guest that did not reach its first process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BootTimeout(String);

impl Boot {
    /// Boots the guest, runs the command `argv` and powers off.
    ///
    /// # Errors
    /// When the command could not be started: QEMU did not start, the kernel did not reach its first
    /// process, or the module did not load. Later failures (a panic, the time limit, an exit code
    /// other than 0) are in the [`GuestRun`].
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<GuestRun> {
        let argv: Vec<String> = argv
            .into_iter()
            .map(|word| match word.as_ref().to_str() {
                Some(text) => Ok(text.to_owned()),
                None => bail!(
                    "the argument {:?} is not UTF-8 and cannot be sent to the guest",
                    word.as_ref()
                ),
            })
            .collect::<Result<_>>()?;
        if argv.is_empty() {
            bail!("no command to run in the guest was given");
        }
        captured(self, &self.job(argv)?)
    }

    /// Boots the guest with an interactive shell on the terminal. Returns the shell's exit code.
    ///
    /// # Errors
    /// When there is no terminal, or the shell could not be started.
    pub fn shell(&self) -> Result<i32> {
        interactive(self, &self.job(Vec::new())?)
    }

    fn job(&self, argv: Vec<String>) -> Result<Job> {
        let absolute = |path: &PathBuf| {
            std::fs::canonicalize(path)
                .with_context(|| format!("{} does not exist", path.display()))
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

/// Runs the job with its streams on sockets. Boots again if the guest did not reach its first process.
fn captured(boot: &Boot, job: &Job) -> Result<GuestRun> {
    for _ in 1..BOOT_ATTEMPTS {
        match attempt(boot, job) {
            // A second boot would miss the part of the caller's input that was read already.
            Err(error) if error.is::<BootTimeout>() && !job.stdin => {
                eprintln!("{error:#}\nbooting the guest again");
            }
            done => return done,
        }
    }
    attempt(boot, job)
}

fn attempt(boot: &Boot, job: &Job) -> Result<GuestRun> {
    let begin = Instant::now();
    let dir = tempfile::Builder::new().prefix("ondine-vm-").tempdir()?;
    let job_file = write_job(dir.path(), job)?;
    let pass = boot.stdio == Stdio::Passed;

    let stdin = Port::listen(dir.path(), "stdin", port::STDIN)?;
    let stdout = Port::listen(dir.path(), "stdout", port::STDOUT)?;
    let stderr = Port::listen(dir.path(), "stderr", port::STDERR)?;
    let report = Port::listen(dir.path(), "report", port::REPORT)?;
    let mut command = machine(boot, job, &job_file)?;
    for port in [&stdin, &stdout, &stderr, &report] {
        command.args(&port.qemu);
    }
    command
        .stdin(Process::null())
        .stdout(Process::piped())
        .stderr(Process::piped());
    let mut child = start(&mut command)?;

    let log = match &boot.log {
        Some(file) => Some(File::create(file).with_context(|| format!("{}", file.display()))?),
        None => None,
    };
    let console = collect(child.stdout.take(), log, boot.verbose.then(std::io::stderr));
    let noise = collect(child.stderr.take(), None, None::<std::io::Stderr>);
    let reports = listen_for_reports(report.listener);
    feed(stdin.listener, job.stdin);
    let stdout = serve(stdout.listener, pass.then(std::io::stdout));
    let stderr = serve(stderr.listener, pass.then(std::io::stderr));

    let end = watch(&mut child, &reports, begin, boot);
    // Ends the threads that still wait in accept(2) because QEMU has not connected.
    for name in ["stdin", "stdout", "stderr", "report"] {
        drop(UnixStream::connect(dir.path().join(name)));
    }
    let console = text(console);
    let noise = text(noise);
    let (stdout, stderr) = (text(stdout), text(stderr));
    let problems = console::scan(&console, &boot.provoked);

    match &end.report {
        Some(Report::Failed(why)) => bail!("{}{why}", first_lines(&problems)),
        None if end.started.is_none() => {
            let why = format!(
                "{}the guest did not reach its first process{}; the end of its console:\n{}{}",
                first_lines(&problems),
                if end.timed_out { " in time" } else { "" },
                console::tail(&console, 20),
                console::tail(&noise, 10)
            );
            if !end.timed_out && problems.is_empty() {
                bail!(why);
            }
            return Err(BootTimeout(why).into());
        }
        _ => {}
    }
    Ok(GuestRun {
        exit_code: match end.report {
            Some(Report::Exit(code)) => Some(code),
            _ => None,
        },
        stdout,
        stderr,
        console,
        problems,
        timed_out: end.timed_out,
        boot_seconds: end.started.unwrap_or_default().as_secs_f64(),
        seconds: begin.elapsed().as_secs_f64(),
    })
}

/// Runs the job on the terminal, which is the guest's serial line.
fn interactive(boot: &Boot, job: &Job) -> Result<i32> {
    if !std::io::stdin().is_terminal() {
        bail!("a shell needs a terminal: without one, use `cargo vmtest exec -- CMD`");
    }
    let dir = tempfile::Builder::new().prefix("ondine-vm-").tempdir()?;
    let job_file = write_job(dir.path(), job)?;
    let report = Port::listen(dir.path(), "report", port::REPORT)?;
    let mut command = machine(boot, job, &job_file)?;
    command.args(&report.qemu);
    let reports = listen_for_reports(report.listener);
    let before = rustix::termios::tcgetattr(std::io::stdin())?;
    let mut child = start(&mut command)?;
    let status = child.wait()?;
    rustix::termios::tcsetattr(
        std::io::stdin(),
        rustix::termios::OptionalActions::Now,
        &before,
    )?;
    drop(UnixStream::connect(dir.path().join("report")));
    let mut last = None;
    while let Ok(report) = reports.recv() {
        last = Some(report);
    }
    match last {
        Some(Report::Exit(code)) => Ok(code),
        Some(Report::Failed(why)) => bail!("{why}"),
        _ => bail!("the guest went away before its shell ended ({status})"),
    }
}

fn write_job(dir: &Path, job: &Job) -> Result<PathBuf> {
    let file = dir.join("job.json");
    std::fs::write(&file, serde_json::to_vec(job)?)?;
    Ok(file)
}

/// The command line of `virtme-run`, without the ports. QEMU uses the last `-append`, so this one
/// replaces virtme's kernel command line, which names virtme's own init.
fn machine(boot: &Boot, job: &Job, job_file: &Path) -> Result<Command> {
    let mut command = Command::new(&boot.virtme);
    command.arg("--kimg").arg(&boot.kernel);
    command.args([
        "--mods",
        "none",
        "--disable-microvm",
        "--force-9p",
        "--disable-monitor",
    ]);
    command.args(["--cpus", &boot.cpus.to_string(), "--memory", &boot.memory]);
    if !boot.kvm {
        command.arg("--disable-kvm");
    }
    command
        .arg("--qemu-opts")
        .args(["-no-reboot", "-append", &command_line(boot, job, job_file)?]);
    for (index, (tag, dir)) in job.rw.iter().enumerate() {
        let path = dir.display().to_string().replace(',', ",,");
        command.arg("-fsdev").arg(format!(
            "local,id=ondine_fs{index},path={path},security_model=none,multidevs=remap"
        ));
        command.arg("-device").arg(format!(
            "virtio-9p-pci,fsdev=ondine_fs{index},mount_tag={tag}"
        ));
    }
    command.args(&boot.qemu);
    Ok(command)
}

fn command_line(boot: &Boot, job: &Job, job_file: &Path) -> Result<String> {
    let mut words = vec![
        "console=ttyS0".to_owned(),
        // Only warnings and errors on the terminal of a shell.
        format!(
            "loglevel={}",
            if job.argv.is_empty() && !boot.verbose {
                5
            } else {
                7
            }
        ),
        "panic=-1".to_owned(),
        "oops=panic".to_owned(),
        "panic_on_warn=1".to_owned(),
        "root=/dev/root".to_owned(),
        "rootfstype=9p".to_owned(),
        "rootflags=version=9p2000.L,trans=virtio,access=any,msize=500000,cache=loose".to_owned(),
        "ro".to_owned(),
        "random.trust_cpu=on".to_owned(),
        // Linux 7.3 clears its record of LA57 for a moment while it identifies the processor, and an
        // interrupt then takes each address of five levels for a wild one (KASAN). Emulation makes
        // the moment long.
        "no5lvl".to_owned(),
        // The kernel counts ticks for a moment to see whether the timer works, and panics if the host
        // was busy with something else.
        "no_timer_check".to_owned(),
        format!("{JOB_VARIABLE}={}", job_file.display()),
        format!("init={}", program()?.display()),
    ];
    if !job.argv.is_empty() {
        // Shows failures before the console driver is up.
        words.push("earlyprintk=serial,ttyS0,115200".to_owned());
    }
    words.extend(boot.append.iter().cloned());
    Ok(words.join(" "))
}

fn start(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| {
        format!(
            "starting {}, which `cargo vmtest setup` installs",
            command.get_program().to_string_lossy()
        )
    })
}

#[derive(Default)]
struct End {
    started: Option<Duration>,
    report: Option<Report>,
    timed_out: bool,
}

/// Waits for the end of QEMU. Kills it at the time limit or at a power cut.
fn watch(child: &mut Child, reports: &Receiver<Report>, begin: Instant, boot: &Boot) -> End {
    let limit = boot.limit;
    let mut end = End::default();
    let mut deadline = begin + limit.min(BOOT_LIMIT);
    let mut closed = false;
    let mut power_cut = boot.power_cut.clone();
    loop {
        let step = Duration::from_millis(20);
        let got = if closed {
            thread::sleep(step);
            Err(RecvTimeoutError::Timeout)
        } else {
            reports.recv_timeout(step)
        };
        match got {
            Ok(Report::Started) => {
                end.started = Some(begin.elapsed());
                deadline = begin + limit;
            }
            Ok(report) => {
                end.report = Some(report);
                deadline = Instant::now() + POWER_OFF_LIMIT;
            }
            Err(RecvTimeoutError::Disconnected) => closed = true,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Ok(Some(_)) = child.try_wait() {
            // Receives the reports that had not been read yet when QEMU ended.
            while let Ok(report) = reports.recv_timeout(Duration::from_millis(50)) {
                match report {
                    Report::Started => end.started = Some(begin.elapsed()),
                    last => end.report = Some(last),
                }
            }
            return end;
        }
        if let Some((_, after)) = power_cut.take_if(|(trigger, _)| trigger.exists()) {
            deadline = Instant::now() + after;
        }
        if Instant::now() > deadline {
            end.timed_out = true;
            kill_tree(child);
            return end;
        }
    }
}

/// Kills `virtme-run` and its descendants (QEMU), each by its process id.
fn kill_tree(child: &mut Child) {
    for id in descendants(child.id()) {
        if let Some(pid) = i32::try_from(id)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // An error is ignored: the process may have ended in between.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn descendants(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let children = format!("/proc/{parent}/task/{parent}/children");
        let Ok(text) = std::fs::read_to_string(children) else {
            continue;
        };
        for id in text.split_whitespace().filter_map(|id| id.parse().ok()) {
            found.push(id);
            parents.push(id);
        }
    }
    found
}

fn first_lines(problems: &[console::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect()
}
