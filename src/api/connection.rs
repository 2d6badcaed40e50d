//! One client connection between requests. actix-web times the first head on a connection and not the later ones: whoever
//! has made one request could hold the connection for ever with a byte a minute (slow loris), and it is one of a limited
//! number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;

use crate::clock::{Clock, millis};

/// While a request is being answered.
const BUSY: u64 = u64::MAX;

/// Since when a connection has had no request.
#[derive(Debug)]
pub struct Connection {
    /// By the clock's monotonic time, in milliseconds.
    idle_since: AtomicU64,
    clock: Clock,
}

impl Connection {
    /// One that has just been accepted.
    pub fn accepted(clock: Clock) -> Arc<Self> {
        Arc::new(Self { idle_since: AtomicU64::new(millis(clock.monotonic())), clock })
    }

    /// For how long it has had no request.
    pub fn idle_for(&self) -> Duration {
        match self.idle_since.load(Ordering::Relaxed) {
            BUSY => Duration::ZERO,
            since => self.clock.monotonic().saturating_sub(Duration::from_millis(since)),
        }
    }

    /// The head of a request is there; its answer may take as long as it has to.
    pub(super) fn begin(request: &HttpRequest) {
        if let Some(connection) = request.conn_data::<Arc<Self>>() {
            connection.idle_since.store(BUSY, Ordering::Relaxed);
        }
    }

    /// The request has its answer.
    pub(super) fn end(request: &HttpRequest) {
        if let Some(connection) = request.conn_data::<Arc<Self>>() {
            connection.idle_since.store(millis(connection.clock.monotonic()), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn it_is_idle_before_and_after_a_request_and_not_within() {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(0));
        let connection = Connection::accepted(clock);
        hand.advance(Duration::from_secs(3));
        assert_eq!(connection.idle_for(), Duration::from_secs(3));
        connection.idle_since.store(BUSY, Ordering::Relaxed);
        assert_eq!(connection.idle_for(), Duration::ZERO);
        // A request that came without one (a test's) is served all the same.
        Connection::begin(&TestRequest::default().to_http_request());
    }
}
