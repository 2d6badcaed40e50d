//! Reads what partners' requests came to, a few times a minute: those who are served then pay nothing for the history that
//! operators are shown.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::exchange::Exchange;

/// What happened within so much is taken for one moment.
const LOOK: Duration = Duration::from_secs(10);

/// Until the broker is gone.
pub(super) async fn observe(exchange: Weak<Exchange>, clock: Clock) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(exchange) = exchange.upgrade() else { return };
        let now = clock.monotonic();
        for partner in exchange.definitions().partners.iter() {
            partner.history.observe(&partner.served, now);
        }
    }
}
