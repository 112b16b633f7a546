// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The streams between the host and a guest: sockets that QEMU connects to its serial ports.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use super::job::Report;

/// A virtio-serial port whose other end is a socket that we listen on.
pub(super) struct Port {
    /// Where QEMU connects.
    pub(super) listener: UnixListener,
    /// What makes QEMU do so.
    pub(super) qemu: [String; 6],
}

impl Port {
    pub(super) fn listen(dir: &Path, id: &str, name: &str) -> Result<Self> {
        let path = dir.join(id);
        let listener = UnixListener::bind(&path).context("a socket for the guest's output")?;
        Ok(Self {
            listener,
            qemu: [
                "-chardev".to_owned(),
                format!("socket,id=ondine_{id},path={}", path.display()),
                "-device".to_owned(),
                "virtio-serial-pci".to_owned(),
                "-device".to_owned(),
                format!("virtserialport,name={name},chardev=ondine_{id}"),
            ],
        })
    }
}

/// Bytes that a thread gathers.
pub(super) type Text = JoinHandle<Vec<u8>>;

pub(super) fn text(thread: Text) -> String {
    String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
}

/// Reads `from` to its end, copying to the log and the caller's stream as it comes.
pub(super) fn collect<R, W>(from: Option<R>, mut log: Option<File>, mut pass: Option<W>) -> Text
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    thread::spawn(move || {
        let mut all = Vec::new();
        let Some(mut from) = from else { return all };
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let part = &buffer[..count];
            all.extend_from_slice(part);
            // A reader that went away (a closed pipe) does not end the run.
            if let Some(log) = &mut log {
                let _ = log.write_all(part);
            }
            if let Some(pass) = &mut pass {
                let _ = pass.write_all(part).and_then(|()| pass.flush());
            }
        }
        all
    })
}

/// Takes one connection and collects it.
pub(super) fn serve<W: Write + Send + 'static>(listener: UnixListener, pass: Option<W>) -> Text {
    thread::spawn(move || match listener.accept() {
        Ok((stream, _)) => collect(Some(stream), None, pass).join().unwrap_or_default(),
        Err(_) => Vec::new(),
    })
}

/// Takes one connection and sends it our standard input, or nothing, in frames: a length and as
/// many bytes; length 0 is the end. (Closing the connection would say so too, and lose what the
/// guest has not read yet.) Not joined: it may sit in a read of a terminal that never comes.
pub(super) fn feed(listener: UnixListener, input: bool) {
    thread::spawn(move || {
        let (Ok((mut stream, _)), true) = (listener.accept(), input) else {
            return;
        };
        let mut buffer = [0; 8192];
        loop {
            let count = std::io::stdin().read(&mut buffer).unwrap_or(0);
            let length = u32::try_from(count).unwrap_or(0).to_le_bytes();
            let sent = stream
                .write_all(&length)
                .and_then(|()| stream.write_all(&buffer[..count]));
            if count == 0 || sent.is_err() {
                break;
            }
        }
        // Open until the machine closes its end.
        let _ = stream.read(&mut buffer);
    });
}

pub(super) fn listen_for_reports(listener: UnixListener) -> Receiver<Report> {
    let (send, receive): (Sender<Report>, _) = channel();
    thread::spawn(move || {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if let Ok(report) = serde_json::from_str(&line) {
                if send.send(report).is_err() {
                    return;
                }
            }
        }
    });
    receive
}
