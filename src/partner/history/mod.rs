//! How one partner did lately, for people: metrics say the same to whoever collects them. Bounded, in memory, gone with the
//! process; a partner that is redefined keeps it.

mod latency;
mod traffic;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use latency::{Latency, Quantiles};
pub use traffic::{MINUTES, Minute, Traffic};

use crate::telemetry::metrics::Served;

/// What became of its requests minute by minute, and how long its legs took. A request that is answered from the cache
/// touches nothing of it.
#[derive(Debug)]
pub struct History {
    /// The first leg.
    pub home: Latency,
    /// The second leg.
    pub partner: Latency,
    traffic: Traffic,
    failed: AtomicU64,
}

impl History {
    /// Begins now: what `served` counted before, for a partner that was gone, is not part of it.
    pub fn new(served: &Served) -> Self {
        let failed = AtomicU64::default();
        let traffic = Traffic::after(totals(served, &failed));
        Self { home: Latency::default(), partner: Latency::default(), traffic, failed }
    }

    /// A request for this partner got no token.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes what was counted since the last time for what happened in this minute. To be called a few times a minute.
    pub fn observe(&self, served: &Served, now: Duration) {
        self.traffic.observe(totals(served, &self.failed), now);
    }

    /// The last hour, the oldest minute first, the one that is not over yet last. `now`: by the monotonic clock.
    pub fn hour(&self, now: Duration) -> [Minute; MINUTES] {
        self.traffic.hour(now)
    }
}

fn totals(served: &Served, failed: &AtomicU64) -> Minute {
    Minute { cached: served.kept(), obtained: served.obtained(), failed: failed.load(Ordering::Relaxed) }
}
