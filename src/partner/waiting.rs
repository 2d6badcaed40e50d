//! How many requests wait for one partner's tokens. Without a limit, a partner that is slow would fill the broker's memory
//! with those who wait for it, and its connections with them, which others need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those who wait.
#[derive(Debug)]
pub struct Waiting {
    count: Arc<AtomicUsize>,
    most: usize,
}

/// One who waits, until dropped.
#[derive(Debug)]
pub struct Waiter(Arc<AtomicUsize>);

impl Waiting {
    /// `most`: at a time.
    pub fn new(most: usize) -> Self {
        Self { count: Arc::default(), most }
    }

    /// One more; `None`: there are too many.
    pub fn enter(&self) -> Option<Waiter> {
        let waiter = Waiter(Arc::clone(&self.count));
        (self.count.fetch_add(1, Ordering::AcqRel) < self.most).then_some(waiter)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_who_leaves_makes_room() {
        let waiting = Waiting::new(2);
        let (first, second) = (waiting.enter(), waiting.enter());
        assert!(first.is_some() && second.is_some() && waiting.enter().is_none());
        assert_eq!(waiting.count(), 2);
        drop(first);
        assert!(waiting.enter().is_some());
        drop(second);
        assert_eq!(waiting.count(), 0);
    }
}
