// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Daemon that violates the protocol, as with `ondined --misbehave`, and is then replaced by a
//! correct one.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use ondined::misbehaviour::Plan;
use vmtest_wire::faults::{Figures, SPOILED};

use super::daemon::{Daemon, Service};
use super::fixture::Fixture;
use super::readers::{Readers, READERS};
use super::{hang_detector, persistence};
use crate::mounts::{drop_caches, Mounted};
use crate::on_demand::counters::State;

/// Mount option `timeout`: limit of each wait for the daemon.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Tolerance for waits beyond [`TIMEOUT`] on a loaded host under emulation. It is less than another
/// [`TIMEOUT`], so that a wait that is begun again is detected.
const SLACK: Duration = Duration::from_secs(4);
/// Tolerance for waits shorter than [`TIMEOUT`]: the kernel counts in ticks.
const TICKS: Duration = Duration::from_millis(50);
/// Errors that a read may fail with: no data, no answer in time, or the blob was not opened again.
const ERRORS: [i32; 3] = [libc::EIO, libc::ETIMEDOUT, libc::ENOBUFS];
/// Longest delay of a fetch in microseconds.
const LATENCY_US: u64 = 1000;

/// A protocol violation.
struct Violation {
    /// Message type that it applies to.
    kind: &'static str,
    /// Messages that it applies to, by number or by chance.
    when: When,
    action: &'static str,
    /// True if mounts and reads may fail because of it.
    harms: bool,
}

#[derive(Clone, Copy)]
enum When {
    /// A random one of the first messages, up to this number.
    Among(u64),
    /// Each message with some probability.
    Sometimes,
}

const fn harmless(kind: &'static str, when: When, action: &'static str) -> Violation {
    Violation {
        kind,
        when,
        action,
        harms: false,
    }
}

const fn harmful(kind: &'static str, when: When, action: &'static str) -> Violation {
    Violation {
        kind,
        when,
        action,
        harms: true,
    }
}

/// The two OPENs of the bootstrap and the blob.
const OPEN: When = When::Among(2);
/// A random one of the first READs; there are more.
const READ: When = When::Among(10);

/// All violations, in an order in which one of any three in a row harms. No rule writes wrong
/// bytes.
const VIOLATIONS: &[Violation] = &[
    harmful("read", READ, "never"),
    harmless("read", When::Sometimes, "late=200"),
    harmful("read", When::Sometimes, "empty"),
    harmful("open", OPEN, "never"),
    harmless("read", When::Sometimes, "twice"),
    harmful("read", READ, "die=received"),
    harmful("open", OPEN, "refuse=5"),
    harmless("read", When::Sometimes, "wrong-id"),
    harmful("read", When::Sometimes, "close-early"),
    harmful("open", OPEN, "close-early"),
    harmless("read", When::Sometimes, "wrong-object"),
    harmful("read", READ, "die=before-write"),
    harmful("open", OPEN, "die=received"),
    harmless("open", OPEN, "late=300"),
    harmful("read", When::Sometimes, "short=4096"),
    harmful("read", READ, "die=after-write"),
    harmless("open", OPEN, "twice"),
    harmful("read", READ, "die=before-answer"),
    harmful("open", OPEN, "die=before-answer"),
    harmless("open", OPEN, "wrong-id"),
    harmful("read", READ, "die=after-answer"),
    harmful("open", OPEN, "die=after-answer"),
];

/// Runs one round with one to three violations. The first one is selected by the seed, the others
/// at random.
pub(super) fn round(fixture: &Fixture, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut violations = vec![&VIOLATIONS[(seed % VIOLATIONS.len() as u64) as usize]];
    for _ in 0..rng.u8(..3) {
        violations.extend(rng.choice(VIOLATIONS));
    }
    let rules: Vec<String> = violations.iter().map(|m| m.rule(&mut rng)).collect();
    let harms = violations.iter().any(|violation| violation.harms);
    play(fixture, &rules, harms, rng, figures).with_context(|| format!("under {rules:?}"))
}

fn play(
    fixture: &Fixture,
    rules: &[String],
    harms: bool,
    mut rng: fastrand::Rng,
    figures: &mut Figures,
) -> Result<()> {
    let rules = rules.iter().map(|rule| rule.parse());
    let good = fixture.service(LATENCY_US);
    let bad = Service {
        plan: Plan {
            seed: rng.u64(..),
            rules: rules.collect::<Result<_, _>>()?,
        },
        ..good.clone()
    };
    let policy = if rng.bool() { "hard" } else { "soft" };
    let options = if harms {
        format!("{policy},timeout={}", TIMEOUT.as_secs())
    } else {
        policy.to_owned()
    };
    fixture.clear()?;
    let mut spoiled = 0;
    let mut daemon = Daemon::start(&bad)?;
    let mounted = match fixture.try_mount(&options)? {
        Ok(mounted) => mounted,
        Err(errno) => {
            ensure!(harms, "mount: {errno}");
            spoiled += 1 + u64::from(daemon.put_away()?);
            // The violation then applies to the readers instead.
            let mounted = mount_well(fixture, &good, &options)?;
            daemon = Daemon::start(&bad)?;
            mounted
        }
    };
    let (root, samples) = (&fixture.point, &fixture.samples);
    let readers = if harms {
        Readers::start_in_error_window(root, samples, rng.u64(..), &ERRORS)?
    } else {
        Readers::start(root, samples, rng.u64(..))?
    };
    hang_detector::until("each reader gets its data or an error", || {
        readers.is_idle() || readers.is_wrong()
    })?;
    spoiled += u64::from(daemon.put_away()?);
    let daemon = Daemon::start(&good)?;
    readers.close_error_window();
    let met = readers.finish()?;
    spoiled += met.errors;
    // The cache contents left by the violations must be correct, and the rest is fetched.
    drop_caches()?;
    Readers::start(root, samples, rng.u64(..))?.finish()?;
    hang_detector::idle()?;
    let longest = Duration::from_micros(State::now()?.get("longest_wait_us")?);
    ensure!(
        longest < TIMEOUT + SLACK,
        "a read waited for {longest:?} with timeout={TIMEOUT:?}"
    );
    if let Some(soonest) = met.soonest {
        ensure!(
            soonest >= TIMEOUT - TICKS,
            "a read failed with ETIMEDOUT after only {soonest:?} with timeout={TIMEOUT:?}"
        );
    }
    // A reader may queue behind every other reader of the same folio, and each attempts it twice
    // (readahead, then read_folio).
    let turns = 2 * READERS as u32;
    ensure!(
        met.longest < turns * TIMEOUT + SLACK,
        "a read took {:?} with timeout={TIMEOUT:?}",
        met.longest
    );
    fixture.unmount(mounted)?;
    daemon.kill()?;
    persistence::all(fixture, rng.u64(..))?;
    figures.add(SPOILED, spoiled);
    figures.add("rounds whose rules may not harm", u64::from(!harms));
    figures.most("longest wait in ms", longest.as_millis() as u64);
    figures.most("longest read in ms", met.longest.as_millis() as u64);
    Ok(())
}

/// Mounts the image with a correct daemon, and kills that.
fn mount_well(fixture: &Fixture, good: &Service, options: &str) -> Result<Mounted> {
    let daemon = Daemon::start(good)?;
    let mounted = fixture.mount(options)?;
    daemon.kill()?;
    Ok(mounted)
}

impl Violation {
    /// Returns the rule in the syntax of `ondined --misbehave`.
    fn rule(&self, rng: &mut fastrand::Rng) -> String {
        let when = match self.when {
            When::Among(first) => format!("#{}", rng.u64(1..=first)),
            When::Sometimes => format!("%{}", rng.u64(10..=40)),
        };
        format!("{}{when}:{}", self.kind, self.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondined::misbehaviour::Rule;

    #[test]
    fn a_daemon_understands_each_violation() {
        let mut rng = fastrand::Rng::with_seed(1);
        for violation in VIOLATIONS {
            let text = violation.rule(&mut rng);
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn one_of_any_three_in_a_row_harms() {
        let twice: Vec<&Violation> = VIOLATIONS.iter().chain(VIOLATIONS).collect();
        assert!(twice.windows(3).all(|three| three.iter().any(|m| m.harms)));
    }
}
