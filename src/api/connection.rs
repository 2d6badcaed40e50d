//! One client connection between requests. actix-web times the first head on a connection and not the later ones: whoever
//! has made one request could hold the connection for ever with a byte a minute (slow loris), and it is one of a limited
//! number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;

use crate::clock::{Clock, millis};

/// Since when a connection has had no request.
#[derive(Debug)]
pub struct Connection {
    /// Requests that are being answered: with HTTP/2 there can be several.
    requests: AtomicUsize,
    /// When the last one ended, by the clock's monotonic time, in milliseconds.
    idle_since: AtomicU64,
    clock: Clock,
}

/// A request whose head is there, until it is dropped: its answer may take as long as it has to.
#[must_use]
pub(super) struct Busy(Option<Arc<Connection>>);

impl Connection {
    /// One that has just been accepted.
    pub fn accepted(clock: Clock) -> Arc<Self> {
        let idle_since = AtomicU64::new(millis(clock.monotonic()));
        Arc::new(Self { requests: AtomicUsize::new(0), idle_since, clock })
    }

    /// For how long it has had no request.
    pub fn idle_for(&self) -> Duration {
        if self.requests.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        let since = Duration::from_millis(self.idle_since.load(Ordering::Acquire));
        self.clock.monotonic().saturating_sub(since)
    }

    fn begin(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        self.idle_since.store(millis(self.clock.monotonic()), Ordering::Release);
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Busy {
    /// The connection that `request` came on is busy with it.
    pub(super) fn with(request: &HttpRequest) -> Self {
        let connection = request.conn_data::<Arc<Connection>>().cloned();
        if let Some(connection) = &connection {
            connection.begin();
        }
        Self(connection)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn it_is_idle_before_and_after_its_requests_and_not_within_any() {
        let (clock, hand) = Clock::manual(Timestamp::from_unix_seconds(0));
        let pass = |seconds| hand.advance(Duration::from_secs(seconds));
        let connection = Connection::accepted(clock);
        pass(3);
        assert_eq!(connection.idle_for(), Duration::from_secs(3));
        connection.begin();
        connection.begin();
        pass(60);
        assert_eq!(connection.idle_for(), Duration::ZERO);
        connection.end();
        pass(60);
        assert_eq!(connection.idle_for(), Duration::ZERO, "one of two streams goes on");
        connection.end();
        pass(2);
        assert_eq!(connection.idle_for(), Duration::from_secs(2));
        // A request that came on none that is watched is served all the same.
        drop(Busy::with(&TestRequest::default().to_http_request()));
    }
}
