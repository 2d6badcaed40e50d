//! Which requests are traced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::parent::Incoming;

/// Which requests are traced: a share of them, and those whose client traces them; and never more than so many in a second.
#[derive(Debug)]
pub struct Sampling {
    share: f64,
    follow_clients: bool,
    most: u32,
    /// The second in the upper half, and how many were taken in it in the lower.
    taken: AtomicU64,
}

impl Sampling {
    /// `share`: of the requests whose client says nothing, from 0 to 1. `follow_clients`: whether a client that says
    /// "sampled" is heard. `most`: in a second, whoever says what: a client that has every request traced must not use
    /// up the collector, or the broker.
    pub const fn new(share: f64, follow_clients: bool, most: u32) -> Self {
        Self { share, follow_clients, most, taken: AtomicU64::new(0) }
    }

    /// `chance`: from zero to below one. `now`: monotonic.
    pub(super) fn takes(
        &self,
        incoming: Option<&Incoming>,
        chance: impl FnOnce() -> f64,
        now: Duration,
    ) -> bool {
        let wanted = match incoming {
            Some(incoming) if self.follow_clients => incoming.is_sampled(),
            _ => chance() < self.share,
        };
        wanted && self.admits(now)
    }

    fn admits(&self, now: Duration) -> bool {
        let second = now.as_secs() << 32;
        let more = |taken: u64| {
            let count = if taken & !0xffff_ffff == second { taken & 0xffff_ffff } else { 0 };
            (count < u64::from(self.most)).then_some(second | (count + 1))
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(flags: &str) -> Option<Incoming> {
        let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
        Incoming::read(|name| (name == "traceparent").then_some(parent.as_str()))
    }

    #[test]
    fn a_client_is_followed_if_it_may_be_and_else_chance_decides() {
        let now = Duration::ZERO;
        for (follow, incoming, chance, taken) in [
            (true, client("01"), 0.9, true),
            (true, client("00"), 0.0, false),
            (true, None, 0.4, true),
            (true, None, 0.5, false),
            (false, client("01"), 0.9, false),
            (false, client("00"), 0.0, true),
        ] {
            let sampling = Sampling::new(0.5, follow, 10);
            assert_eq!(sampling.takes(incoming.as_ref(), || chance, now), taken, "{follow} {chance}");
        }
        assert!(!Sampling::new(0.0, true, 10).takes(None, || 0.0, now));
    }

    #[test]
    fn who_has_everything_traced_gets_so_many_a_second() {
        let sampling = Sampling::new(1.0, true, 3);
        let taken = |second: u64| {
            let now = Duration::from_millis(second * 1000 + 7);
            (0..10).filter(|_| sampling.takes(client("01").as_ref(), || 0.0, now)).count()
        };
        assert_eq!([taken(0), taken(0), taken(1), taken(5)], [3, 0, 3, 3]);
    }
}
