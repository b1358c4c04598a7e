//! Cancelling: what is not charged yet will not be. What is charged is answered and kept all the same, so that it can be read later: half a run would be paid for nothing.

use crate::error::{Code, Error, Result};
use arrow_flight::CancelStatus;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// As long as tickets are good.
const KEPT: Duration = Duration::from_secs(3600);
/// Cancelled tickets of one principal: the oldest are forgotten when there are more.
const MOST: usize = 1000;

/// Principal and query id.
type Key = (String, String);

enum Step {
    /// Calls that read a ticket, none of which has come to the charge.
    Waiting {
        calls: usize,
        gone: CancellationToken,
    },
    /// Being paid, or paid.
    Paying {
        calls: usize,
    },
    Cancelled {
        at: Instant,
    },
}

/// The tickets that are being read, and those that were cancelled before.
#[derive(Default)]
pub struct Cancellations(Mutex<HashMap<Key, Step>>);

/// A call that reads a ticket, until it is dropped.
pub struct Reading<'a> {
    of: &'a Cancellations,
    key: Key,
    /// Cancelled with the ticket, or when the call's own caller goes away.
    pub gone: CancellationToken,
}

fn cancelled() -> Error {
    Error::new(
        Code::InvalidRequest,
        "this statement was cancelled before it was charged, and cost nothing: execute it again to have it answered",
    )
}

impl Cancellations {
    fn steps(&self) -> MutexGuard<'_, HashMap<Key, Step>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read a ticket.
    ///
    /// Errors: `INVALID_REQUEST` where it was cancelled.
    pub fn read(&self, who: &str, query_id: &str) -> Result<Reading<'_>> {
        let key = (who.to_owned(), query_id.to_owned());
        let mut steps = self.steps();
        let new = || Step::Waiting { calls: 0, gone: CancellationToken::new() };
        let gone = match steps.entry(key.clone()).or_insert_with(new) {
            Step::Cancelled { .. } => return Err(cancelled()),
            Step::Paying { calls } => {
                *calls += 1;
                CancellationToken::new()
            }
            Step::Waiting { calls, gone } => {
                *calls += 1;
                gone.child_token()
            }
        };
        Ok(Reading { of: self, key, gone })
    }

    /// Cancels a ticket, unless it is being paid. Whoever reads it from then on is refused; see [`Cancellations::keep`].
    pub fn cancel(&self, who: &str, query_id: &str) -> CancelStatus {
        let mut steps = self.steps();
        let key = (who.to_owned(), query_id.to_owned());
        match steps.get(&key) {
            Some(Step::Paying { .. }) => return CancelStatus::NotCancellable,
            Some(Step::Cancelled { .. }) => return CancelStatus::Cancelled,
            Some(Step::Waiting { gone, .. }) => gone.cancel(),
            None => {}
        }
        let kept = |step: &Step| matches!(step, Step::Cancelled { at } if at.elapsed() < KEPT);
        steps.retain(|_, step| !matches!(step, Step::Cancelled { .. }) || kept(step));
        let mine = steps.iter().filter_map(|(key, step)| match step {
            Step::Cancelled { at } if key.0 == who => Some((*at, key.clone())),
            _ => None,
        });
        let mine: Vec<(Instant, Key)> = mine.collect();
        if mine.len() >= MOST
            && let Some((_, oldest)) = mine.into_iter().min()
        {
            steps.remove(&oldest);
        }
        steps.insert(key, Step::Cancelled { at: Instant::now() });
        CancelStatus::Cancelled
    }

    /// Takes a cancellation back: the ledger has a charge for the ticket after all.
    pub fn keep(&self, who: &str, query_id: &str) {
        self.steps().remove(&(who.to_owned(), query_id.to_owned()));
    }
}

impl Reading<'_> {
    /// From here on it is paid.
    ///
    /// Errors: `INVALID_REQUEST` where it was cancelled, or nobody waits for it any more.
    pub fn pay(&self) -> Result<()> {
        let mut steps = self.of.steps();
        if self.gone.is_cancelled() {
            return Err(cancelled());
        }
        if let Some(step) = steps.get_mut(&self.key)
            && let Step::Waiting { calls, .. } = step
        {
            *step = Step::Paying { calls: *calls };
        }
        Ok(())
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut steps = self.of.steps();
        let is_last = match steps.get_mut(&self.key) {
            Some(Step::Waiting { calls, .. } | Step::Paying { calls }) => {
                *calls -= 1;
                *calls == 0
            }
            _ => false,
        };
        if is_last {
            steps.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CancelStatus::{Cancelled, NotCancellable};

    #[test]
    fn a_ticket_is_cancelled_until_it_is_paid() {
        let all = Cancellations::default();
        // Before it is read.
        assert_eq!(all.cancel("ana", "before"), Cancelled);
        assert!(all.read("ana", "before").is_err());
        assert!(all.read("ben", "before").is_ok(), "somebody else's ticket was cancelled");
        // While it waits: both of its readers.
        let (first, second) = (all.read("ana", "during").unwrap(), all.read("ana", "during").unwrap());
        assert_eq!(all.cancel("ana", "during"), Cancelled);
        assert!(first.pay().is_err() && second.pay().is_err());
        drop((first, second));
        assert!(all.read("ana", "during").is_err());
        // Once it is paid, and after that.
        let reading = all.read("ana", "after").unwrap();
        reading.pay().unwrap();
        assert_eq!(all.cancel("ana", "after"), NotCancellable);
        drop(reading);
        assert_eq!(all.cancel("ana", "after"), Cancelled);
        all.keep("ana", "after");
        all.read("ana", "after").unwrap().pay().unwrap();
    }

    #[test]
    fn one_reader_that_goes_away_does_not_cancel_the_other() {
        let all = Cancellations::default();
        let (first, second) = (all.read("ana", "q").unwrap(), all.read("ana", "q").unwrap());
        first.gone.cancel();
        assert!(first.pay().is_err());
        drop(first);
        second.pay().unwrap();
        drop(second);
        assert!(all.steps().is_empty());
    }

    #[test]
    fn what_was_cancelled_is_forgotten_in_the_end() {
        let all = Cancellations::default();
        for n in 0..MOST + 3 {
            all.cancel("ana", &n.to_string());
        }
        all.cancel("ben", "his");
        assert_eq!(all.steps().len(), MOST + 1);
        assert!(all.read("ana", "0").is_ok() && all.read("ana", &(MOST + 2).to_string()).is_err());
    }
}
