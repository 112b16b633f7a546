// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Reading a kernel's console for the lines that mean that something went wrong.

use serde::Serialize;

/// One complaint of the kernel, with the lines that follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line that gave it away.
    pub line: String,
    /// Up to [`CONTEXT`] lines after it.
    pub context: Vec<String>,
}

/// How many lines are kept after the first one.
const CONTEXT: usize = 40;

/// What a kernel says when it is not well. The match is on the line without its time stamp.
const SIGNS: &[&str] = &[
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
];

/// Lines that hold a sign and mean nothing: the emulated machine, not the code under test.
const HARMLESS: &[&str] = &[
    // The clock of an emulated processor on a loaded host.
    "clocksource: Watchdog",
    "Marking clocksource",
];

/// The problems that `console` tells of, in order; lines in the wake of one are its context.
pub fn scan(console: &str) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut left = 0;
    for line in console.lines() {
        let line = line.trim_end_matches('\r');
        let text = without_stamp(line);
        if left > 0 {
            left -= 1;
            if let Some(last) = problems.last_mut() {
                last.context.push(text.to_owned());
            }
            if text.contains("---[ end trace") || text.contains("</TASK>") {
                left = 0;
            }
        } else if is_sign(text) {
            problems.push(Problem {
                line: text.to_owned(),
                context: Vec::new(),
            });
            left = CONTEXT;
        }
    }
    problems
}

fn is_sign(text: &str) -> bool {
    SIGNS.iter().any(|sign| text.contains(sign)) && !HARMLESS.iter().any(|calm| text.contains(calm))
}

/// `[    1.234567] text` and `[    1.234567][   T1] text` without what stands in front.
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
        assert_eq!(scan(text), []);
    }

    #[test]
    fn each_sign_is_found_once_with_its_context() {
        let text = "[    1.0] fine\n\
                    [    2.0][   T12] BUG: KASAN: slab-out-of-bounds in foo\n\
                    [    2.1][   T12] Read of size 8\n\
                    [    2.2][   T12]  </TASK>\n\
                    [    3.0] WARNING: possible circular locking dependency detected\n";
        let found = scan(text);
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
        ] {
            assert_eq!(scan(line).len(), 1, "{line}");
        }
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
