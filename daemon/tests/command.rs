// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondined` as a command.

use std::process::Command;

/// What `ondined serve` says with these limits of descriptors; there is no device to serve.
fn said(limits: &str) -> String {
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
fn a_low_limit_of_descriptors_is_told_before_it_is_met() {
    let text = said("-n 512");
    assert!(
        text.contains("512 descriptors") && text.contains("LimitNOFILE"),
        "{text}"
    );
    let text = said("-Sn 512");
    assert!(!text.contains("512 descriptors"), "{text}");
}
