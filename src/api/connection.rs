//! One client connection between requests. actix-web times the first head on a connection and not the later ones: whoever
//! has made one request could hold the connection for ever with a byte a minute (slow loris), and it is one of a limited
//! number.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use actix_web::HttpRequest;

/// The time of connections, in ticks of whoever watches them: a clock would be read for each request.
#[derive(Debug, Default)]
pub struct Ticks(AtomicU64);

impl Ticks {
    /// One more has passed.
    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Since when a connection has had no request.
#[derive(Debug)]
pub struct Connection {
    /// Requests that are being answered: with HTTP/2 there can be several.
    requests: AtomicUsize,
    /// The tick in which the last one ended.
    idle_since: AtomicU64,
    /// What is left of a body will not be read.
    given_up: AtomicBool,
    ticks: Arc<Ticks>,
}

/// A request whose head is there, until it is dropped: its answer may take as long as it has to.
#[must_use]
pub(super) struct Busy<'c>(Option<&'c Connection>);

impl Connection {
    /// One that has just been accepted.
    pub fn accepted(ticks: &Arc<Ticks>) -> Arc<Self> {
        let idle_since = AtomicU64::new(ticks.now());
        Arc::new(Self {
            requests: AtomicUsize::new(0),
            idle_since,
            given_up: AtomicBool::new(false),
            ticks: Arc::clone(ticks),
        })
    }

    /// Ticks that it has had no request.
    pub fn idle_for(&self) -> u64 {
        if self.requests.load(Ordering::Acquire) > 0 {
            return 0;
        }
        let idle = self.ticks.now().saturating_sub(self.idle_since.load(Ordering::Acquire));
        // The first tick may come while the answer is being written.
        if idle > 1 && self.given_up.load(Ordering::Acquire) { u64::MAX } else { idle }
    }

    /// Once its requests are answered it is cut, a tick later. actix-web may go on taking in a body whose request it has
    /// answered, as long as more of it comes.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }
}

impl<'c> Busy<'c> {
    /// The connection that `request` came on is busy with it.
    pub(super) fn with(request: &'c HttpRequest) -> Self {
        Self::on(request.conn_data::<Arc<Connection>>().map(AsRef::as_ref))
    }

    /// The same; `None`: nobody watches it.
    pub(super) fn on(connection: Option<&'c Connection>) -> Self {
        if let Some(connection) = connection {
            connection.requests.fetch_add(1, Ordering::AcqRel);
        }
        Self(connection)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.idle_since.store(connection.ticks.now(), Ordering::Release);
            connection.requests.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn it_is_idle_before_and_after_its_requests_and_not_within_any() {
        let ticks = Arc::new(Ticks::default());
        let pass = |count| (0..count).for_each(|_| ticks.tick());
        let connection = Connection::accepted(&ticks);
        pass(3);
        assert_eq!(connection.idle_for(), 3);
        let (first, second) = (Busy::on(Some(&connection)), Busy::on(Some(&connection)));
        pass(60);
        assert_eq!(connection.idle_for(), 0);
        drop(first);
        pass(60);
        assert_eq!(connection.idle_for(), 0, "one of two streams goes on");
        drop(second);
        pass(2);
        assert_eq!(connection.idle_for(), 2);
        let last = Busy::on(Some(&connection));
        connection.give_up();
        assert_eq!(connection.idle_for(), 0, "its answer is on its way");
        drop(last);
        pass(1);
        assert_eq!(connection.idle_for(), 1);
        pass(1);
        assert_eq!(connection.idle_for(), u64::MAX);
        // A request that came on none that is watched is served all the same.
        drop(Busy::with(&TestRequest::default().to_http_request()));
    }
}
