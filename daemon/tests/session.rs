// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A session on the devices that every kernel has: /dev/null accepts all commands and has no message,
//! /dev/zero has malformed messages, /dev/full refuses all commands. `src/session/tests.rs` has the
//! conversation with a stand-in for the driver; guests have it with the drivers.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::thread;

use ondined::backend::Local;
use ondined::protocol::{Device, Readiness};
use ondined::session::{bind, Options, Session, SessionError, Statistics};
use rustix::io::Errno;

fn device(name: &str) -> Device {
    Device::open(Path::new(name)).unwrap()
}

fn session(name: &str) -> Session<Local> {
    let backend = Local::new(Path::new("/")).unwrap();
    Session::new(device(name), backend, Options::default()).unwrap()
}

#[test]
fn a_session_ends_when_stopped() {
    let session = session("/dev/null");
    let stop = session.stop_handle().unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| session.run());
        stop.stop();
        stop.stop();
        running.join().unwrap().unwrap();
    });
    let done = session.statistics();
    // /dev/null is always ready, so that the number of wake-ups depends on timing.
    let expected = Statistics {
        read_wakeups: done.read_wakeups,
        ..Default::default()
    };
    assert_eq!(done, expected);
}

#[test]
fn a_malformed_message_ends_the_session() {
    let error = session("/dev/zero").run().unwrap_err();
    assert!(matches!(error, SessionError::Receive(_)));
    assert_eq!(
        error.to_string(),
        "malformed message from the device: message 0 has a length of 0 bytes in its header, but 1024 were read"
    );
}

#[test]
fn a_refused_command_is_in_the_error() {
    bind(&device("/dev/null"), Path::new("/c"), Some("t")).unwrap();
    let error = bind(&device("/dev/full"), Path::new("/c"), None).unwrap_err();
    assert_eq!(error.errno, Errno::NOSPC);
    assert!(error
        .to_string()
        .starts_with("the kernel refuses \"dir /c\": No space left"));
}

#[test]
fn a_device_is_made_of_a_character_device_only() {
    let null = Device::from_fd(File::open("/dev/null").unwrap().into()).unwrap();
    let ready = null.poll(None).unwrap();
    assert_eq!(
        ready,
        Readiness {
            message: true,
            cull: true,
            dead: false
        }
    );
    let regular = File::open(std::env::current_exe().unwrap()).unwrap();
    assert_eq!(Device::from_fd(regular.into()).unwrap_err(), Errno::NODEV);
}

/// Exit code and standard error of `ondined serve`.
fn ondined(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ondined"))
        .arg("serve")
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn the_command_explains_wrong_arguments() {
    for (arguments, stderr) in [
        (
            &["--local", "/", "--dir", "/no/such"][..],
            "ondined: /no/such: No such file or directory (os error 2)\n",
        ),
        (
            &["--local", "/no/such", "--dir", "/"],
            "ondined: /no/such: No such file or directory (os error 2)\n",
        ),
        (
            &["--http", "host", "--dir", "/"],
            "ondined: \"host\" is not a URL such as http://host/directory\n",
        ),
        (
            &["--local", "/", "--dir", "/", "--device", "/no/such"],
            "ondined: /no/such: No such file or directory (os error 2); load ondine.ko, or name the device with --device\n",
        ),
        (
            &["--local", "/", "--dir", "/", "--plan", "/dev/null"],
            "ondined: reading the rules in /dev/null: EOF while parsing a value at line 1 column 0\n",
        ),
    ] {
        assert_eq!(ondined(arguments), (Some(1), stderr.to_owned()));
    }
    let (code, stderr) = ondined(&["--local", "/", "--dir", "/", "--misbehave", "read:x"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("\"x\" is not an action for read messages"),
        "{stderr}"
    );
    let (code, stderr) = ondined(&["--dir", "/"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("--local") && stderr.contains("--http"),
        "{stderr}"
    );
}

#[test]
fn the_command_stops_on_a_signal_and_writes_its_statistics() {
    use std::io::{BufRead as _, BufReader};
    let dir = tempfile::tempdir().unwrap();
    let stats = dir.path().join("stats.json");
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_ondined"))
        .args([
            "serve",
            "--local",
            "/",
            "--dir",
            "/",
            "--device",
            "/dev/null",
            "--stats",
        ])
        .arg(&stats)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(daemon.stdout.take().unwrap());
    stdout.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    let id = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(daemon.wait().unwrap().success());
    let statistics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stats).unwrap()).unwrap();
    assert_eq!(statistics["reads"], 0);
}
