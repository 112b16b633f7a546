// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The command line of `ondined`: warnings at its start.

use std::process::Command;

/// Standard error of `ondined serve` under these `ulimit` options, without a device to open.
fn stderr(limits: &str) -> String {
    let script = format!("ulimit {limits}; exec \"$0\" serve --dir / --local / --device /absent");
    let daemon = env!("CARGO_BIN_EXE_ondined");
    let output = Command::new("sh").args(["-c", &script, daemon]).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("/absent"), "{text}");
    text
}

#[test]
fn a_low_hard_limit_of_descriptors_is_a_warning() {
    let text = stderr("-n 512");
    assert!(
        text.contains("512 descriptors") && text.contains("LimitNOFILE"),
        "{text}"
    );
    let text = stderr("-Sn 512");
    assert!(!text.contains("512 descriptors"), "{text}");
}
