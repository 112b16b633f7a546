// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What of a session needs no cachefiles in the kernel, on devices that every kernel has: /dev/null
//! takes all commands and has no message, /dev/zero has messages that are none, /dev/full takes no
//! command. The conversation itself is tested in guests.

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
fn a_stop_ends_it() {
    let session = session("/dev/null");
    let stop = session.stop_handle().unwrap();
    thread::scope(|scope| {
        let running = scope.spawn(|| session.run());
        stop.stop();
        stop.stop();
        running.join().unwrap().unwrap();
    });
    let done = session.statistics();
    // The device of all devices is always ready, and has nothing.
    let nothing = Statistics {
        read_wakeups: done.read_wakeups,
        ..Default::default()
    };
    assert_eq!(done, nothing);
}

#[test]
fn a_foreign_message_ends_it() {
    let error = session("/dev/zero").run().unwrap_err();
    assert!(matches!(error, SessionError::Receive(_)));
    assert_eq!(
        error.to_string(),
        "the device gave what is not a message: message 0 says that it has 0 bytes, but 1024 were read"
    );
}

#[test]
fn a_refused_command_is_named() {
    bind(&device("/dev/null"), Path::new("/c"), Some("t")).unwrap();
    let error = bind(&device("/dev/full"), Path::new("/c"), None).unwrap_err();
    assert_eq!(error.errno, Errno::NOSPC);
    assert!(error
        .to_string()
        .starts_with("the kernel refuses \"dir /c\": No space left"));
}

#[test]
fn a_device_from_a_descriptor() {
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

fn ondined(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ondined"))
        .arg("serve")
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn the_command_says_what_is_wrong() {
    for (arguments, said) in [
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
            "ondined: \"host\" is not a URL like http://host/directory\n",
        ),
        (
            &["--local", "/", "--dir", "/", "--device", "/no/such"],
            "ondined: /no/such: No such file or directory (os error 2); is the kernel's side loaded?\n",
        ),
        (
            &["--local", "/", "--dir", "/", "--plan", "/dev/null"],
            "ondined: the plan /dev/null: EOF while parsing a value at line 1 column 0\n",
        ),
    ] {
        assert_eq!(ondined(arguments), (Some(1), said.to_owned()));
    }
    let (code, said) = ondined(&["--local", "/", "--dir", "/", "--misbehave", "read:x"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("a message of kind read cannot be answered with \"x\""),
        "{said}"
    );
    let (code, said) = ondined(&["--dir", "/"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("--local") && said.contains("--http"),
        "{said}"
    );
}

#[test]
fn the_command_stops_on_a_signal_and_writes_its_numbers() {
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
    let numbers: serde_json::Value =
        serde_json::from_slice(&std::fs::read(stats).unwrap()).unwrap();
    assert_eq!(numbers["reads"], 0);
}
