// SPDX-License-Identifier: Apache-2.0 OR MIT

//! A daemon misbehaves by rules, as under `ondined --misbehave`; then a good one takes over.

use std::time::Duration;

use anyhow::{ensure, Context, Result};
use ondined::plan::Plan;

use super::daemon::{Daemon, Service};
use super::ground::Ground;
use super::kept;
use super::readers::{Crowd, READERS};
use super::{watch, Figures};
use crate::guest::mounts::{drop_caches, Mounted};
use crate::on_demand::guest::State;

/// What came of it.
pub(crate) const SPOILED: &str = "mounts, reads and daemons that a rule ended";

/// A mount's reads wait no longer than this: for an answer that never comes.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much later a read may go on, on a loaded host under emulation.
const SLACK: Duration = Duration::from_secs(10);
/// What a read may give: no bytes, none in time, or its blob was not opened again.
const ERRORS: [i32; 3] = [libc::EIO, libc::ETIMEDOUT, libc::ENOBUFS];
/// Longest time of a fetch in microseconds.
const LATENCY_US: u64 = 1000;

/// What a daemon does wrong.
struct Misdeed {
    /// The message.
    kind: &'static str,
    /// Which of them, by number or by chance.
    when: When,
    action: &'static str,
    /// Whether mounts and reads may fail of it.
    harms: bool,
}

#[derive(Clone, Copy)]
enum When {
    /// One of so many first ones.
    Among(u64),
    /// Any.
    Sometimes,
}

const fn harmless(kind: &'static str, when: When, action: &'static str) -> Misdeed {
    Misdeed {
        kind,
        when,
        action,
        harms: false,
    }
}

const fn harmful(kind: &'static str, when: When, action: &'static str) -> Misdeed {
    Misdeed {
        kind,
        when,
        action,
        harms: true,
    }
}

/// Of the bootstrap and of the blob.
const OPEN: When = When::Among(2);
/// There are more.
const READ: When = When::Among(10);

/// All of them, so that some of any three in a row harm. No rule writes wrong bytes.
const MISDEEDS: &[Misdeed] = &[
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

/// One to three misdeeds, the first of them in turn.
pub(super) fn round(ground: &Ground, seed: u64, figures: &mut Figures) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut misdeeds = vec![&MISDEEDS[(seed % MISDEEDS.len() as u64) as usize]];
    for _ in 0..rng.u8(..3) {
        misdeeds.extend(rng.choice(MISDEEDS));
    }
    let rules: Vec<String> = misdeeds.iter().map(|m| m.rule(&mut rng)).collect();
    let harms = misdeeds.iter().any(|misdeed| misdeed.harms);
    play(ground, &rules, harms, rng, figures).with_context(|| format!("under {rules:?}"))
}

fn play(
    ground: &Ground,
    rules: &[String],
    harms: bool,
    mut rng: fastrand::Rng,
    figures: &mut Figures,
) -> Result<()> {
    let rules = rules.iter().map(|rule| rule.parse());
    let good = ground.service(LATENCY_US);
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
    ground.clear()?;
    let mut spoiled = 0;
    let mut daemon = Daemon::start(&bad)?;
    let mounted = match ground.try_mount(&options)? {
        Ok(mounted) => mounted,
        Err(errno) => {
            ensure!(harms, "mount: {errno}");
            spoiled += 1 + u64::from(daemon.put_away()?);
            // Then it does what it does to readers.
            let mounted = mount_well(ground, &good, &options)?;
            daemon = Daemon::start(&bad)?;
            mounted
        }
    };
    let (root, samples) = (&ground.point, &ground.samples);
    let crowd = if harms {
        Crowd::start_in_storm(root, samples, rng.u64(..), &ERRORS)?
    } else {
        Crowd::start(root, samples, rng.u64(..))?
    };
    watch::until("each reader gets its data or an error", || {
        crowd.is_idle() || crowd.is_wrong()
    })?;
    spoiled += u64::from(daemon.put_away()?);
    let daemon = Daemon::start(&good)?;
    crowd.calm();
    let met = crowd.finish()?;
    spoiled += met.errors;
    // What misdeeds left in the cache is right, and the rest comes.
    drop_caches()?;
    Crowd::start(root, samples, rng.u64(..))?.finish()?;
    watch::idle()?;
    let longest = Duration::from_micros(State::now()?.get("longest_wait_us")?);
    ensure!(
        longest < TIMEOUT + SLACK,
        "a read waited for {longest:?} although timeout={TIMEOUT:?}"
    );
    // Who waits for a folio that another reader tries to have waits for him first, and each tries twice:
    // readahead, then the page itself.
    let turns = 2 * READERS as u32;
    ensure!(
        met.longest < turns * TIMEOUT + SLACK,
        "a reader hung for {:?} although timeout={TIMEOUT:?}",
        met.longest
    );
    ground.unmount(mounted)?;
    daemon.kill()?;
    kept::all(ground, rng.u64(..))?;
    figures.add(SPOILED, spoiled);
    figures.add("rounds whose rules may not harm", u64::from(!harms));
    figures.most("longest wait in ms", longest.as_millis() as u64);
    figures.most("longest read in ms", met.longest.as_millis() as u64);
    Ok(())
}

/// A mount that a good daemon served.
fn mount_well(ground: &Ground, good: &Service, options: &str) -> Result<Mounted> {
    let daemon = Daemon::start(good)?;
    let mounted = ground.mount(options)?;
    daemon.kill()?;
    Ok(mounted)
}

impl Misdeed {
    /// As a daemon is told.
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
    use ondined::plan::Rule;

    #[test]
    fn a_daemon_understands_each_misdeed() {
        let mut rng = fastrand::Rng::with_seed(1);
        for misdeed in MISDEEDS {
            let text = misdeed.rule(&mut rng);
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule.to_string(), text);
        }
    }

    #[test]
    fn one_of_any_three_in_a_row_harms() {
        let twice: Vec<&Misdeed> = MISDEEDS.iter().chain(MISDEEDS).collect();
        assert!(twice.windows(3).all(|three| three.iter().any(|m| m.harms)));
    }
}
