// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Actor process: reads operations, executes them and writes their results, each as a line of JSON.

mod device;
mod files;
mod object;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use ondine_model::observation::Errno;
use rustix::io::FdFlags;
use serde::{Deserialize, Serialize};
use vmtest_wire::conform::job::Surroundings;
use vmtest_wire::conform::op::Op;
use vmtest_wire::conform::step::OK;

use crate::sys::fanotify::PreContent;

/// Time for which a turn of the answering daemon waits for a message.
pub(super) const TURN: Duration = Duration::from_millis(50);

/// Result of `read` without a message.
const NOTHING: &str = "nothing";

/// A descriptor for another process to copy.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Descriptor {
    /// Number of the descriptor.
    pub(super) number: i32,
    /// Id of the object that it belongs to.
    pub(super) object: Option<u32>,
}

/// Executes operations until the input ends.
///
/// # Errors
/// The input cannot be read, or the results not be written.
pub(crate) fn main() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let place = lines.next().context("no place to act in")??;
    let mut worker = Worker::new(serde_json::from_str(&place)?);
    for line in lines {
        let op = serde_json::from_str(&line?)?;
        let result = told(worker.act(op));
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &result)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

/// Reason for which an operation has no ordinary result.
enum Failure {
    /// Errno of a system call: a result as any other.
    Errno(Errno),
    /// The scenario requests something impossible.
    Other(anyhow::Error),
}

type Outcome<T = String> = Result<T, Failure>;

/// Result of an operation, as written in scenarios.
fn told(outcome: Outcome) -> String {
    match outcome {
        Ok(text) => text,
        Err(Failure::Errno(errno)) => errno.to_string(),
        Err(Failure::Other(why)) => format!("({why:#})"),
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno.into())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(_) => Self::Errno(error.into()),
            None => Self::Other(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// A descriptor with a name.
struct Handle {
    fd: OwnedFd,
    /// True if the descriptor was received without close-on-exec.
    inheritable: bool,
    /// Id of the object that it belongs to.
    object: Option<u32>,
}

/// A message that was read from the device.
struct ReceivedMessage {
    id: u32,
    object: String,
    /// Text of the message in a result.
    text: String,
    /// Text of the message with ids.
    with_ids: String,
}

/// State of the actor process.
struct Worker {
    place: Surroundings,
    handles: BTreeMap<String, Handle>,
    /// Names of objects by their ids.
    objects: BTreeMap<u32, String>,
    /// Message ids by their names in the scenario.
    messages: BTreeMap<String, u32>,
    /// Messages read while waiting for a message of another object.
    queued: Vec<ReceivedMessage>,
    /// epoll instance that watches the device, edge-triggered.
    epoll: Option<OwnedFd>,
    /// Files kept open.
    held: BTreeMap<String, File>,
    /// Listener to the watched file.
    listener: Option<PreContent>,
}

impl Worker {
    fn new(place: Surroundings) -> Self {
        Self {
            place,
            handles: BTreeMap::new(),
            objects: BTreeMap::new(),
            messages: BTreeMap::new(),
            queued: Vec::new(),
            epoll: None,
            held: BTreeMap::new(),
            listener: None,
        }
    }

    fn act(&mut self, op: Op) -> Outcome {
        match op {
            Op::Open { handle, access } => self.open(handle, access),
            Op::Close { handle } => self.close(&handle),
            Op::Dup { handle, new } => self.dup(&handle, new),
            Op::Write { text, handle, pad } => self.write(&text, &handle, pad),
            Op::Read { room, ids, name } => self.read(room, ids, name),
            Op::Recv { ids, name, object } => self.recv(ids, name, object.as_deref()),
            Op::ReadNowhere => self.read_nowhere(),
            Op::Poll => self.poll(),
            Op::Edge => self.edge(),
            Op::Bind => self.bind(),
            Op::Snatch => self.snatch(),
            Op::Times { count, ops } => self.times(count, &ops),
            Op::Turn { starving, restored } => self.turn(starving, restored),
            Op::Copen { object, answer } => self.copen(&object, answer),
            Op::Pwrite {
                object,
                offset,
                length,
                bytes,
            } => self.pwrite(&object, offset, length, bytes),
            Op::Put { object, length } => self.put(&object, length),
            Op::Seek {
                handle,
                whence,
                offset,
            } => self.seek(&handle, whence, offset),
            Op::Complete { object, id } => self.complete(&object, id),
            Op::Features => self.features(),
            Op::Enable { bits } => self.enable(bits),
            Op::Fail { object, errno } => self.fail(&object, errno),
            Op::Ioctl {
                handle,
                command,
                argument,
            } => self.ioctl(&handle, command, argument),
            Op::Misuse { object, what } => self.misuse(&object, what),
            Op::Hangup { object } => self.hangup(&object),
            Op::Descriptor { object } => self.descriptor(&object),
            Op::Mount { name, options } => self.mount(&name, &options),
            Op::Umount { name, how } => self.umount(&name, how),
            Op::Remount { name, options } => self.remount(&name, &options),
            Op::Statfs { name } => self.statfs(&name),
            Op::Pread {
                path,
                offset,
                length,
                random,
            } => self.pread(&path, offset, length, random),
            Op::PreadInto {
                path,
                offset,
                length,
                target,
            } => self.pread_into(&path, offset, length, &target),
            Op::Send {
                path,
                offset,
                length,
            } => self.send(&path, offset, length),
            Op::Map { path, offset } => self.map(&path, offset),
            Op::Hold { path } => self.hold(&path),
            Op::Ls { path } => self.ls(&path),
            Op::Find { path } => self.find(&path),
            Op::Xattr { path, name } => self.xattr(&path, &name),
            Op::Sh { command } => self.sh(&command),
            Op::Watch { path, what } => self.listen(&path, what),
            Op::Permit => self.permit(),
            Op::Deny => self.deny(),
            Op::Chdir { path } => done(std::env::set_current_dir(self.place.cache.join(path))),
            Op::Become { uid } => done(crate::sys::become_user(uid, uid)),
            Op::Nofile { count } => self.nofile(count),
            Op::Catch => done(crate::sys::catch_user_signal()),
            Op::Number { handle } => self.number(&handle),
            Op::Take {
                pid,
                number,
                handle,
                object,
            } => self.take(pid, number, handle, object),
        }
    }

    fn times(&mut self, count: u64, ops: &[Op]) -> Outcome {
        let mut all = BTreeSet::new();
        for _ in 0..count {
            for op in ops {
                all.insert(told(self.act(op.clone())));
            }
        }
        Ok(all.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn handle(&self, name: &str) -> Result<&Handle> {
        self.handles
            .get(name)
            .with_context(|| format!("no handle {name}"))
    }

    fn fd(&self, name: &str) -> Result<BorrowedFd<'_>> {
        Ok(self.handle(name)?.fd.as_fd())
    }

    /// Names the descriptor `fd`, and sets close-on-exec so that child processes do not inherit it.
    fn keep(&mut self, name: String, fd: OwnedFd, object: Option<u32>) -> Outcome<()> {
        let flags = rustix::io::fcntl_getfd(&fd)?;
        rustix::io::fcntl_setfd(&fd, flags | FdFlags::CLOEXEC)?;
        let handle = Handle {
            fd,
            inheritable: !flags.contains(FdFlags::CLOEXEC),
            object,
        };
        if let Some(earlier) = self.handles.insert(name.clone(), handle) {
            self.handles.insert(format!("{name}.old"), earlier);
        }
        if let Some(id) = object {
            self.objects.insert(id, name);
        }
        Ok(())
    }

    fn close(&mut self, name: &str) -> Outcome {
        let handle = self.handles.remove(name);
        handle.with_context(|| format!("no handle {name}"))?;
        Ok(OK.to_owned())
    }

    fn dup(&mut self, name: &str, new: String) -> Outcome {
        let handle = self.handle(name)?;
        let (copy, object) = (rustix::io::dup(&handle.fd)?, handle.object);
        self.keep(new, copy, object)?;
        Ok(OK.to_owned())
    }

    fn nofile(&self, count: u64) -> Outcome {
        use rustix::process::{getrlimit, setrlimit, Resource};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = Some(count);
        setrlimit(Resource::Nofile, limit)?;
        Ok(OK.to_owned())
    }

    fn number(&self, name: &str) -> Outcome {
        use std::os::fd::AsRawFd as _;
        let handle = self.handle(name)?;
        let descriptor = Descriptor {
            number: handle.fd.as_raw_fd(),
            object: handle.object,
        };
        serde_json::to_string(&descriptor).map_err(|e| Failure::Other(e.into()))
    }

    fn take(&mut self, pid: i32, number: i32, name: String, object: Option<u32>) -> Outcome {
        use rustix::process::{pidfd_getfd, pidfd_open, Pid, PidfdFlags, PidfdGetfdFlags};
        let pid = Pid::from_raw(pid).context("no process 0")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let fd = pidfd_getfd(&process, number, PidfdGetfdFlags::empty())?;
        self.keep(name, fd, object)?;
        Ok(OK.to_owned())
    }

    /// Returns the size of a blob in bytes.
    fn size(&self, cookie: &str) -> std::io::Result<u64> {
        Ok(std::fs::metadata(self.blob(cookie))?.len())
    }

    fn blob(&self, cookie: &str) -> PathBuf {
        self.place
            .blobs
            .join(cookie.strip_suffix(".old").unwrap_or(cookie))
    }
}

/// Returns `ok`, or the error.
fn done<T>(result: std::io::Result<T>) -> Outcome {
    result?;
    Ok(OK.to_owned())
}
