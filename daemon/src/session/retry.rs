// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Requests that the backend could not serve yet: when they are tried again.

use std::time::{Duration, Instant};

use crate::backend::{BackendError, Passing};

/// Pause after the first failure. It doubles with each further one, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause that the backend did not ask for.
const LONGEST: Duration = Duration::from_secs(5);
/// Attempts for a failure that is only perhaps a passing one.
const FEW: u32 = 3;

/// Failed attempts of one request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    /// Time of the first failure.
    since: Option<Instant>,
    pub(super) attempts: u32,
}

impl Retry {
    /// Counts a failure at the time `now`. Returns the pause before the next attempt; `None` if the
    /// failure does not pass by itself, or the next attempt is not due within `patience` after the
    /// first failure.
    pub(super) fn pause(
        &mut self,
        error: &BackendError,
        now: Instant,
        patience: Duration,
    ) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        let backoff = (FIRST * (1 << self.attempts.min(10))).min(LONGEST);
        self.attempts += 1;
        let pause = match error.passing()? {
            Passing::Later(at_least) => backoff.max(at_least),
            Passing::Perhaps if self.attempts < FEW => backoff,
            Passing::Perhaps => return None,
        };
        // A server may ask for any number of seconds.
        let end = now.duration_since(since).saturating_add(pause);
        (end <= patience).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<u64>) -> BackendError {
        BackendError::Status {
            url: String::new(),
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// The pauses of a request that always fails with `error`.
    fn pauses(error: &BackendError, patience: u64) -> Vec<u128> {
        let (mut retry, mut now) = (Retry::default(), Instant::now());
        let mut pauses = Vec::new();
        while let Some(pause) = retry.pause(error, now, Duration::from_secs(patience)) {
            now += pause;
            pauses.push(pause.as_millis());
        }
        pauses
    }

    #[test]
    fn pauses_double_within_the_patience() {
        let always = pauses(&status(503, None), 15);
        assert_eq!(always, [100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(pauses(&status(503, None), 0), []);
    }

    #[test]
    fn the_origin_is_not_asked_before_it_wants_to_be() {
        assert_eq!(pauses(&status(429, Some(2)), 5), [2000, 2000]);
        assert_eq!(pauses(&status(429, Some(0)), 1), [100, 200, 400]);
        // It would not answer before the patience ends.
        assert_eq!(pauses(&status(429, Some(60)), 30), []);
        let (mut retry, begin) = (Retry::default(), Instant::now());
        let endless = status(429, Some(u64::MAX));
        for seconds in [0, 1] {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(retry.pause(&endless, now, Duration::from_secs(30)), None);
        }
    }

    #[test]
    fn what_perhaps_passes_is_tried_a_few_times() {
        let url = String::new();
        assert_eq!(pauses(&BackendError::NoRanges { url }, 30), [100, 200]);
        for last in [401, 403, 410] {
            assert_eq!(pauses(&status(last, None), 30), [], "{last}");
        }
    }
}
