// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Requests that the backend could not serve yet: where they wait.

use std::sync::{mpsc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::receive::Request;

/// Requests that wait for their next attempt. They keep no worker from serving others.
#[derive(Debug, Default)]
pub(super) struct Postponed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<(Instant, Request)>,
    closed: bool,
}

impl Postponed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a request until `due`.
    ///
    /// # Errors
    /// The session is ending. The request is given back, and must be answered.
    pub(super) fn put(&self, due: Instant, request: Request) -> Result<(), Box<Request>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(request));
        }
        state.waiting.push((due, request));
        self.changed.notify_all();
        Ok(())
    }

    /// Number of waiting requests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Makes [`run`](Self::run) return.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Passes requests on to `requests` when they are due, until [`close`](Self::close): then all at
    /// once, for their last attempt.
    pub(super) fn run(&self, requests: &mpsc::Sender<Request>) {
        let mut state = self.lock();
        loop {
            let (now, all) = (Instant::now(), state.closed);
            let waiting = std::mem::take(&mut state.waiting);
            for (due, request) in waiting {
                if all || due <= now {
                    // The workers keep the receiver until this sender is dropped.
                    let _ = requests.send(request);
                } else {
                    state.waiting.push((due, request));
                }
            }
            if all {
                return;
            }
            let next = state.waiting.iter().map(|(due, _)| *due).min();
            state = match next {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let left = due.saturating_duration_since(now);
                    let woken = self.changed.wait_timeout(state, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Sleeps for `pause`, or until the session is ending. Returns false in that case.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        let state = self.lock();
        let slept = self
            .changed
            .wait_timeout_while(state, pause, |state| !state.closed);
        !slept.unwrap_or_else(PoisonError::into_inner).0.closed
    }
}
