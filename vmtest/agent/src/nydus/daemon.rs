// SPDX-License-Identifier: Apache-2.0 OR MIT

//! nydusd in fscache mode, and the requests to its API socket.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context, Result};
use serde_json::{json, Value};
use vmtest_wire::nydus::Image;

use crate::process::Process;

/// Time limit for nydusd to start, and to answer a request.
const LIMIT: Duration = Duration::from_secs(60);

/// A running nydusd, killed when dropped.
pub(super) struct Daemon {
    process: Process,
    socket: PathBuf,
    work: PathBuf,
}

impl Daemon {
    /// Starts `program` on the cache in `dir`. Its output is appended to `log`.
    pub(super) fn start(program: &Path, dir: &Path, log: &Path) -> Result<Self> {
        let socket = PathBuf::from("/run/ondine/nydusd.sock");
        // A killed nydusd leaves its socket behind.
        let _ = fs::remove_file(&socket);
        let output = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .args(["singleton", "--log-level", "info", "--fscache"])
            .arg(dir)
            .arg("--apisock")
            .arg(&socket)
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut daemon = Self {
            process: Process::start(&mut command)?,
            socket,
            work: dir.to_owned(),
        };
        daemon.come_up()?;
        Ok(daemon)
    }

    fn come_up(&mut self) -> Result<()> {
        let patience = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.process.status()? {
                bail!("nydusd ended with {status}");
            }
            if let Ok(told) = self.ask("GET", "/api/v1/daemon", None) {
                if told.contains("RUNNING") {
                    return Ok(());
                }
            }
            ensure!(
                Instant::now() < patience,
                "nydusd is not RUNNING after {LIMIT:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes nydusd serve `image` as `id` in `domain`.
    pub(super) fn bind(&self, image: &Image, id: &str, domain: &str) -> Result<()> {
        let entry = json!({
            "type": "bootstrap",
            "id": id,
            "domain_id": domain,
            "config": {
                "id": id,
                "backend_type": "localfs",
                "backend_config": { "dir": image.blobs },
                "cache_type": "fscache",
                "cache_config": { "work_dir": self.work },
                "metadata_path": image.bootstrap,
            },
        });
        self.ask("PUT", "/api/v2/blobs", Some(&entry)).map(drop)
    }

    /// Returns the number of bytes that nydusd has read from the backend for `blobs` since they
    /// were opened.
    pub(super) fn fetched(&self, blobs: &[String]) -> Result<u64> {
        let of = |blob: &String| -> Result<u64> {
            let told = self.ask("GET", &format!("/api/v1/metrics/backend?id={blob}"), None)?;
            let told: Value = serde_json::from_str(&told)?;
            let bytes = told.get("read_amount_total").and_then(Value::as_u64);
            bytes.with_context(|| format!("nydusd's metrics lack read_amount_total: {told}"))
        };
        blobs.iter().map(of).sum()
    }

    /// Kills nydusd with SIGKILL, as a crash would.
    pub(super) fn kill(self) -> Result<()> {
        self.process.kill()
    }

    /// Sends an HTTP/1.1 request and returns the body of the answer.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let body = body.map_or_else(String::new, Value::to_string);
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: nydusd\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = BufReader::new(stream);
        let mut status = String::new();
        answer.read_line(&mut status)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut text = vec![0; length];
        answer.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let status = status.trim();
        ensure!(
            status
                .split(' ')
                .nth(1)
                .is_some_and(|code| code.starts_with('2')),
            "nydusd answers {method} {path} with {status}: {text}"
        );
        Ok(text)
    }
}
