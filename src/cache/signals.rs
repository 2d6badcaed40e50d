//! Who waits for another replica's work on an entry is told when that has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::secret::ByDigest;

type Waiting = Mutex<HashMap<[u8; 16], Arc<Notify>, ByDigest>>;

/// The entries that are waited for.
#[derive(Debug, Default)]
pub(super) struct Signals(Arc<Waiting>);

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    entry: [u8; 16],
    signal: Arc<Notify>,
    all: Arc<Waiting>,
}

impl Signals {
    pub(super) fn wait(&self, entry: [u8; 16]) -> Waiter {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = Arc::clone(waiting.entry(entry).or_default());
        Waiter { entry, signal, all: Arc::clone(&self.0) }
    }

    pub(super) fn wake(&self, entry: &[u8; 16]) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signal) = waiting.get(entry) {
            signal.notify_waiters();
        }
    }
}

impl Waiter {
    pub(super) fn told(&self) -> Notified<'_> {
        self.signal.notified()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own, and ours.
        if Arc::strong_count(&self.signal) == 2 {
            waiting.remove(&self.entry);
        }
    }
}
