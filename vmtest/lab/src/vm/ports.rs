// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The streams between host and guest: sockets that QEMU connects to virtio-serial ports.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use vmtest_wire::boot::Report;

/// A virtio-serial port of the guest, connected to a listening socket of this process.
pub(super) struct Port {
    /// The socket that QEMU connects to.
    pub(super) listener: UnixListener,
    /// QEMU's arguments for the port.
    pub(super) qemu: [String; 6],
}

impl Port {
    pub(super) fn listen(dir: &Path, id: &str, name: &str) -> Result<Self> {
        let path = dir.join(id);
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("creating the guest's socket {}", path.display()))?;
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

/// A thread that reads a stream to its end.
pub(super) type Text = JoinHandle<Vec<u8>>;

pub(super) fn text(thread: Text) -> String {
    String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
}

/// Reads `from` to its end in a thread, and copies the bytes to `log` and `pass` as they arrive.
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
            // Errors are ignored: a closed pipe of the caller must not end the run.
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

/// Accepts one connection and reads it to its end, in a thread.
pub(super) fn serve<W: Write + Send + 'static>(listener: UnixListener, pass: Option<W>) -> Text {
    thread::spawn(move || match listener.accept() {
        Ok((stream, _)) => collect(Some(stream), None, pass).join().unwrap_or_default(),
        Err(_) => Vec::new(),
    })
}

/// Accepts one connection and, if `input`, sends it this process' standard input in frames: a length
/// (`u32`, little endian) and the bytes. Length 0 marks the end: closing the connection instead would
/// drop bytes that the guest has not read yet.
///
/// The thread is not joined, because it may block in a read of the terminal for ever.
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
        // Keeps the connection open until QEMU closes it.
        let _ = stream.read(&mut buffer);
    });
}

/// Accepts one connection and forwards the guest's reports. The channel closes with the connection.
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
