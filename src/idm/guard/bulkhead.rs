//! The bulkhead: how many calls one server gets at a time, and how many wait for their turn. One that is slow fills its own
//! and nobody else's; who finds it full is told at once, instead of waiting for what will be too late.

use tokio::sync::{Semaphore, SemaphorePermit};

/// How much one server gets.
#[derive(Debug, Clone, Copy)]
pub struct BulkheadSettings {
    /// Calls at a time.
    pub max_in_flight: usize,
    /// Calls that wait for their turn.
    pub max_queued: usize,
}

/// There is no room, not even to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Bulkhead {
    settings: BulkheadSettings,
    slots: Semaphore,
    queue: Semaphore,
}

impl Bulkhead {
    pub(super) fn new(settings: BulkheadSettings) -> Self {
        let slots = Semaphore::new(settings.max_in_flight);
        Self { settings, slots, queue: Semaphore::new(settings.max_queued) }
    }

    /// Whether somebody who came now would be let in, or could wait.
    pub(super) fn check(&self) -> Result<(), Full> {
        let full = self.slots.available_permits() == 0 && self.queue.available_permits() == 0;
        if full { Err(Full) } else { Ok(()) }
    }

    /// Whether a quarter is free: what nobody waits for leaves that to those who do.
    pub(super) fn check_spare(&self) -> Result<(), Full> {
        let spare = self.queued() == 0 && self.slots.available_permits() * 4 > self.settings.max_in_flight;
        if spare { Ok(()) } else { Err(Full) }
    }

    /// Leave to call, for as long as it is held. Who waits is served in the order of coming.
    ///
    /// # Errors
    /// The queue is full, too.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, Full> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Ok(slot);
        }
        let _place = self.queue.try_acquire().map_err(|_| Full)?;
        // It is never closed.
        self.slots.acquire().await.map_err(|_| Full)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.settings.max_in_flight.saturating_sub(self.slots.available_permits())
    }

    pub(super) fn queued(&self) -> usize {
        self.settings.max_queued.saturating_sub(self.queue.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn so_many_go_in_so_many_wait_and_the_next_is_told_at_once() {
        let bulkhead = Bulkhead::new(BulkheadSettings { max_in_flight: 2, max_queued: 2 });
        let first = bulkhead.enter().now_or_never().unwrap().unwrap();
        let _second = bulkhead.enter().now_or_never().unwrap().unwrap();
        let mut waiting = [Box::pin(bulkhead.enter()), Box::pin(bulkhead.enter())];
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        assert_eq!((bulkhead.in_flight(), bulkhead.queued()), (2, 2));
        assert_eq!(bulkhead.check(), Err(Full));
        assert!(bulkhead.enter().now_or_never().unwrap().is_err());

        drop(first);
        let [mut head, tail] = waiting;
        assert!(head.as_mut().now_or_never().unwrap().is_ok(), "in the order of coming");
        drop(head);
        assert_eq!((bulkhead.queued(), bulkhead.check()), (1, Ok(())));
        drop(tail);
        assert_eq!(bulkhead.queued(), 0, "who gives up leaves the queue");
    }

    #[test]
    fn a_quarter_is_left_to_those_who_wait() {
        let bulkhead = Bulkhead::new(BulkheadSettings { max_in_flight: 4, max_queued: 1 });
        let mut held = Vec::new();
        for spare in [Ok(()), Ok(()), Ok(()), Err(Full)] {
            assert_eq!(bulkhead.check_spare(), spare);
            held.push(bulkhead.enter().now_or_never().unwrap().unwrap());
        }
        assert_eq!(bulkhead.check(), Ok(()), "there is room to wait");
    }

    #[test]
    fn without_a_queue_nobody_waits() {
        let bulkhead = Bulkhead::new(BulkheadSettings { max_in_flight: 1, max_queued: 0 });
        let _held = bulkhead.enter().now_or_never().unwrap().unwrap();
        assert!(bulkhead.enter().now_or_never().unwrap().is_err());
    }
}
