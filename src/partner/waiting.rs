//! How many requests wait for one partner's tokens. Without a limit, a partner that is slow would fill the broker's memory
//! with those who wait for it, and its connections with them, which others need.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Places for those who wait.
#[derive(Debug)]
pub struct Waiting {
    places: Semaphore,
    most: usize,
}

impl Waiting {
    /// `most`: at a time.
    pub fn new(most: usize) -> Self {
        Self { places: Semaphore::new(most), most }
    }

    /// A place, until it is dropped; `None`: too many wait.
    pub fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }
}
