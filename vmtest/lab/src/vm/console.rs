// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The search for kernel errors on a guest's console.

use serde::Serialize;

/// An error that the kernel reported, with the lines that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line with a sign of an error.
    pub line: String,
    /// Up to 40 lines after that line.
    pub context: Vec<String>,
}

/// Number of lines that are kept after a problem's first line.
const CONTEXT: usize = 40;

/// Texts that mark an error on the console. They are searched in the line without its time stamp.
const PROBLEM_MARKERS: &[&str] = &[
    "Kernel panic",
    "BUG:",
    "kernel BUG at",
    "WARNING:",
    "KASAN:",
    "UBSAN:",
    "KFENCE:",
    "Oops:",
    "Oops -",
    "possible circular locking dependency",
    "possible recursive locking",
    "inconsistent lock state",
    "possible irq lock inversion",
    "suspicious RCU usage",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "sleeping function called from invalid context",
    "INFO: task ",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    "rcu_sched detected stalls",
    "rcu_preempt detected stalls",
    "self-detected stall",
    "Unable to handle",
    "unable to handle",
    "general protection fault",
    "rust_kernel: panicked",
    "Objects remaining",
    "memory leak",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "Bad page state",
    "VFS: Busy inodes after unmount",
    "Out of memory",
    "invoked oom-killer",
    "page allocation failure",
    FILE_SYSTEM,
];

/// The sign of an error of ext4, the file system of drives and caches.
pub const FILE_SYSTEM: &str = "EXT4-fs error";

/// Texts of lines that contain a sign but come from the emulated machine, not the code under test.
const HARMLESS: &[&str] = &[
    // The emulated processor's clock is late on a loaded host.
    "clocksource: Watchdog",
    "Marking clocksource",
];

/// The problems on `console`, in order. The lines after a problem are its context, up to the next
/// problem. Lines with a text of `provoked`, which the boot expects, are not problems.
pub fn scan(console: &str, provoked: &[&str]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut left = 0;
    for line in console.lines() {
        let line = line.trim_end_matches('\r');
        let text = without_stamp(line);
        let expected = provoked.iter().any(|sign| text.contains(sign));
        if is_sign(text) && !expected {
            problems.push(Problem {
                line: text.to_owned(),
                context: Vec::new(),
            });
            left = CONTEXT;
        } else if left > 0 {
            left -= 1;
            if let Some(last) = problems.last_mut() {
                last.context.push(text.to_owned());
            }
            if text.contains("---[ end trace") || text.contains("</TASK>") {
                left = 0;
            }
        }
    }
    problems
}

fn is_sign(text: &str) -> bool {
    PROBLEM_MARKERS.iter().any(|sign| text.contains(sign))
        && !HARMLESS.iter().any(|calm| text.contains(calm))
}

/// The text of `[    1.234567] text` and `[    1.234567][   T1] text`.
fn without_stamp(line: &str) -> &str {
    let mut rest = line;
    while let Some(inner) = rest.strip_prefix('[') {
        let Some((stamp, after)) = inner.split_once(']') else {
            break;
        };
        let stamp = stamp.trim();
        let timed = !stamp.is_empty() && stamp.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let caller = stamp
            .strip_prefix(['T', 'C'])
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
        if !timed && !caller {
            break;
        }
        rest = after;
    }
    rest.strip_prefix(' ').unwrap_or(rest)
}

/// The last `count` lines of `console`.
pub(crate) fn tail(console: &str, count: usize) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.line)?;
        for line in &self.context {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_console_has_no_problems() {
        let text = "[    0.000000] Linux version 7.3.4\n[    2.565561] clocksource: Watchdog remote CPU 1 read timed out\n[    2.6] ondine: loaded\n";
        assert_eq!(scan(text, &[]), []);
    }

    #[test]
    fn each_sign_is_found_once_with_its_context() {
        let text = "[    1.0] fine\n\
                    [    2.0][   T12] BUG: KASAN: slab-out-of-bounds in foo\n\
                    [    2.1][   T12] Read of size 8\n\
                    [    2.2][   T12]  </TASK>\n\
                    [    3.0] WARNING: possible circular locking dependency detected\n";
        let found = scan(text, &[]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].line, "BUG: KASAN: slab-out-of-bounds in foo");
        assert_eq!(found[0].context, ["Read of size 8", " </TASK>"]);
        assert!(found[1].line.contains("circular"));
    }

    #[test]
    fn rust_panics_hung_tasks_and_faults_count() {
        for line in [
            "rust_kernel: panicked at x.rs:1:1:",
            "INFO: task cat:12 blocked for more than 60 seconds.",
            "Oops: general protection fault, probably for non-canonical address",
            "Kernel panic - not syncing: Attempted to kill init!",
            "WARNING: suspicious RCU usage",
            "Out of memory: Killed process 77 (vmtest) total-vm:1kB",
            "kworker/0:1: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL)",
            "EXT4-fs error (device vda): ext4_validate_block_bitmap:420: comm x: bad",
        ] {
            assert_eq!(scan(line, &[]).len(), 1, "{line}");
        }
    }

    #[test]
    fn a_sign_in_the_wake_of_another_is_a_problem_of_its_own() {
        let text = "WARNING: CPU: 0 PID: 1 at fs/x.c:1\nCall Trace:\nINFO: task cat:12 blocked for more than 60 seconds.\nx\n";
        let found = scan(text, &[]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].context, ["Call Trace:"]);
        assert_eq!(found[1].context, ["x"]);
    }

    #[test]
    fn what_a_boot_provokes_is_no_problem_there() {
        let text = "EXT4-fs error (device nullb0): x\nBUG: bad\nEXT4-fs error (device nullb0): y\n";
        let found = scan(text, &[FILE_SYSTEM]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, "BUG: bad");
        assert_eq!(scan(text, &[]).len(), 3);
    }

    #[test]
    fn stamps_are_taken_off_and_other_brackets_stay() {
        assert_eq!(without_stamp("[    1.5] [x] y"), "[x] y");
        assert_eq!(without_stamp("plain"), "plain");
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
    }
}
