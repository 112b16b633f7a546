// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A stand-in for the driver: a socket in place of the device, regular files in place of objects.
//!
//! The session receives real messages by read(2) and sends real commands by write(2), and it writes the
//! cache files by real direct I/O. Only the four ioctls are calls of [`Ioctls`]. They report to the same
//! socket, so that a test sees all answers in the order of their sending.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::Shutdown;
use std::ops::Range;
use std::os::fd::{BorrowedFd, IntoRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{flock, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::protocol::{Device, Features, Ioctls, MsgId, MSG_MAX, PAGE};

/// Time after which a missing answer fails a test.
const STUCK: Duration = Duration::from_secs(20);

/// The kernel's end of a conversation.
pub(super) struct Driver {
    dir: tempfile::TempDir,
    socket: UnixDatagram,
    /// The socket that the session has for its device.
    device: UnixDatagram,
    state: Arc<DriverState>,
    /// Names of the blobs that were opened, by message.
    opened: Mutex<HashMap<u32, String>>,
}

/// State that the ioctls use.
#[derive(Debug)]
struct DriverState {
    dir: PathBuf,
    device: UnixDatagram,
    features: Features,
    /// Features that the session has enabled.
    enabled: Mutex<Features>,
    /// Names of the cache files, by inode number.
    names: Mutex<HashMap<u64, String>>,
    /// Objects of the READs that are not completed yet, by message.
    pending: Mutex<HashMap<u32, String>>,
    /// Contents of the cache file when a READ was completed, by message.
    contents: Mutex<HashMap<u32, Vec<u8>>>,
}

impl Driver {
    /// A driver with these extensions, and an empty cache.
    pub(super) fn new(features: Features) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (socket, device) = UnixDatagram::pair().unwrap();
        socket.set_read_timeout(Some(STUCK)).unwrap();
        let state = DriverState {
            dir: dir.path().to_owned(),
            device: device.try_clone().unwrap(),
            features,
            enabled: Mutex::default(),
            names: Mutex::default(),
            pending: Mutex::default(),
            contents: Mutex::default(),
        };
        Self {
            dir,
            socket,
            device,
            state: Arc::new(state),
            opened: Mutex::default(),
        }
    }

    /// The device for the session.
    pub(super) fn device(&self) -> Device {
        let ioctls: Arc<dyn Ioctls> = Arc::clone(&self.state) as _;
        Device::stand_in(self.device.try_clone().unwrap().into(), ioctls)
    }

    /// Path of the cache file of a blob.
    pub(super) fn cache_file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sends an OPEN of the blob `name`, with a new descriptor of its cache file.
    pub(super) fn open(&self, id: u32, object: u32, name: &str) {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = rustix::fs::open(self.cache_file(name), flags, mode).unwrap();
        // Held until the last copy of the descriptor is closed.
        flock(&fd, FlockOperation::NonBlockingLockExclusive).unwrap();
        let inode = rustix::fs::fstat(&fd).unwrap().st_ino;
        self.state
            .names
            .lock()
            .unwrap()
            .insert(inode, name.to_owned());
        self.opened.lock().unwrap().insert(id, name.to_owned());
        let volume = b"erofs,test\0";
        let fd = u32::try_from(fd.into_raw_fd()).unwrap();
        let mut payload = Vec::new();
        for number in [volume.len() as u32, name.len() as u32, fd, 0] {
            payload.extend(number.to_ne_bytes());
        }
        payload.extend(volume);
        payload.extend(name.as_bytes());
        self.send(id, 0, object, &payload);
    }

    /// Sends a CLOSE.
    pub(super) fn close(&self, id: u32, object: u32) {
        self.send(id, 1, object, &[]);
    }

    /// Sends a READ of an object, whose blob is called `name`.
    pub(super) fn read(&self, id: u32, object: u32, name: &str, range: Range<u64>) {
        self.state
            .pending
            .lock()
            .unwrap()
            .insert(id, name.to_owned());
        let payload = [range.start, range.end - range.start].map(u64::to_ne_bytes);
        self.send(id, 2, object, &payload.concat());
    }

    /// Sends a message, and the empty read(2) that ends a batch.
    fn send(&self, id: u32, opcode: u32, object: u32, payload: &[u8]) {
        let len = 16 + payload.len() as u32;
        let mut message: Vec<u8> = [id, opcode, len, object]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        message.extend(payload);
        self.socket.send(&message).unwrap();
        self.socket.send(&[]).unwrap();
    }

    /// The next answer of the session. A size for an OPEN sets the length of the cache file.
    pub(super) fn answer(&self) -> String {
        let mut buffer = [0; MSG_MAX];
        let len = self.socket.recv(&mut buffer).expect("an answer");
        let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
        if let Some((id, size)) = text.strip_prefix("copen ").and_then(|t| t.split_once(',')) {
            if let Ok(size) = size.parse::<u64>() {
                let name = &self.opened.lock().unwrap()[&id.parse::<u32>().unwrap()];
                let file = fs::OpenOptions::new()
                    .write(true)
                    .open(self.cache_file(name));
                file.unwrap().set_len(size.next_multiple_of(PAGE)).unwrap();
            }
        }
        text
    }

    /// Returns whether an answer is left. To be called after the session has ended.
    pub(super) fn has_answer(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        match self.socket.recv(&mut [0; MSG_MAX]) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                false
            }
        }
    }

    /// Contents of the cache file when the READ `id` was completed.
    pub(super) fn contents_at(&self, id: u32) -> Vec<u8> {
        self.state.contents.lock().unwrap()[&id].clone()
    }

    /// Features that the session has enabled.
    pub(super) fn enabled(&self) -> Features {
        *self.state.enabled.lock().unwrap()
    }

    /// Returns whether the session has closed the descriptor of the object of this blob.
    pub(super) fn is_closed(&self, name: &str) -> bool {
        let file = fs::File::open(self.cache_file(name)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    /// Waits until the session has closed the descriptor of the object of this blob.
    pub(super) fn wait_closed(&self, name: &str) {
        wait_until("the descriptor is closed", || self.is_closed(name));
    }

    /// Makes every further command fail with EPIPE.
    pub(super) fn refuse_commands(&self) {
        self.socket.shutdown(Shutdown::Read).unwrap();
    }

    /// Makes the device report POLLHUP, as for a dead cache.
    pub(super) fn die(&self) {
        self.device.shutdown(Shutdown::Both).unwrap();
    }
}

/// Waits for a condition that another thread makes true.
pub(super) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < STUCK, "still waiting until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl DriverState {
    /// Completes a READ as the driver does: only a pending one, and only through its own object.
    fn finish(&self, object: BorrowedFd<'_>, id: MsgId, result: &str) -> Result<(), Errno> {
        let inode = rustix::fs::fstat(object)?.st_ino;
        let name = self.names.lock().unwrap()[&inode].clone();
        let mut pending = self.pending.lock().unwrap();
        let known = pending.get(&id.0) == Some(&name);
        let refused = if known { "" } else { ": EINVAL" };
        if known {
            pending.remove(&id.0);
            let contents = fs::read(Path::new(&self.dir).join(&name)).unwrap();
            self.contents.lock().unwrap().insert(id.0, contents);
        }
        let answer = format!("{result} {id} of {name}{refused}");
        self.device.send(answer.as_bytes()).unwrap();
        if known {
            Ok(())
        } else {
            Err(Errno::INVAL)
        }
    }
}

impl Ioctls for DriverState {
    fn features(&self, _device: BorrowedFd<'_>) -> Result<Features, Errno> {
        Ok(self.features)
    }

    fn enable(&self, _device: BorrowedFd<'_>, features: Features) -> Result<(), Errno> {
        *self.enabled.lock().unwrap() = features;
        Ok(())
    }

    fn complete(&self, object: BorrowedFd<'_>, id: MsgId) -> Result<(), Errno> {
        self.finish(object, id, "complete")
    }

    fn fail(&self, object: BorrowedFd<'_>, id: MsgId, errno: Errno) -> Result<(), Errno> {
        self.finish(object, id, &format!("fail with {}", errno.raw_os_error()))
    }
}
