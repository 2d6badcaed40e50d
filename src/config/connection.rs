//! `[connection]` of a partner file and `[home.connection]`: the limits of calls to one identity server.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{NamedFile, TextFile};
use super::findings::Findings;
use super::value;

/// The limits of calls to one identity server.
#[derive(Debug, Clone)]
pub struct Connection {
    /// For TCP and TLS together.
    pub connect_timeout: Duration,
    /// For one whole call, the body included: a server that answers one byte a minute holds nobody.
    pub timeout: Duration,
    /// Longest answer that is read, in bytes.
    pub max_response_bytes: usize,
    /// Calls at a time.
    pub max_in_flight: usize,
    /// Calls that wait for their turn; one more is refused at once.
    pub max_queued: usize,
    /// How often one leg of one exchange is asked again, where that is safe.
    pub retries: u32,
    /// So many failures within 10 to 20 s, being half of the calls, open the circuit breaker; zero: never.
    pub breaker_failures: u32,
    /// For how long, the first time.
    pub breaker_pause: Duration,
    /// CA certificates (PEM) that are trusted **instead of** the system's.
    pub ca: Option<TextFile>,
    /// Whether plain `http` beyond loopback is allowed.
    pub allow_http: bool,
}

/// The limits of calls to one identity server.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct ConnectionTable {
    /// TCP and TLS.
    #[serde(with = "value::Period")]
    connect_timeout: Duration,
    /// One whole call.
    #[serde(with = "value::Period")]
    timeout: Duration,
    /// Longest answer.
    max_response_bytes: u32,
    /// Calls at a time.
    max_in_flight: u32,
    /// Calls that wait for their turn; one more is refused at once (`partner_overloaded`).
    max_queued: u32,
    /// How often one leg of one exchange is tried again, with a new assertion: no connection, 502, 503, 504.
    retries: u32,
    /// So many failures within 10 to 20 s, being half of the calls, open the circuit breaker.
    breaker_failures: u32,
    /// How long it is then left alone; twice as long each time that it still fails, up to 30 s.
    #[serde(with = "value::Period")]
    breaker_pause: Duration,
    /// CA certificates (PEM) trusted **instead of** the system's.
    ca_file: Option<NamedFile>,
    /// Plain `http` beyond loopback.
    pub(super) allow_http: bool,
}

impl Default for ConnectionTable {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(5),
            max_response_bytes: 262_144,
            max_in_flight: 512,
            max_queued: 1024,
            retries: 2,
            breaker_failures: 10,
            breaker_pause: Duration::from_secs(5),
            ca_file: None,
            allow_http: false,
        }
    }
}

impl ConnectionTable {
    /// `at` is the table's own key.
    pub(super) fn resolve(self, findings: &mut Findings<'_>, at: &str) -> Connection {
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(120));
        findings.between(&format!("{at}.connect_timeout"), self.connect_timeout, least, most);
        findings.between(&format!("{at}.timeout"), self.timeout, least, most);
        findings.demand(
            (1024..=16 * 1024 * 1024).contains(&self.max_response_bytes),
            &format!("{at}.max_response_bytes"),
            "is out of range",
            "write a number of bytes from 1024 to 16777216",
        );
        let key = format!("{at}.breaker_pause");
        findings.between(&key, self.breaker_pause, Duration::from_millis(100), Duration::from_secs(30));
        for (key, value, range) in [
            ("max_in_flight", self.max_in_flight, 1..=100_000),
            ("max_queued", self.max_queued, 0..=1_000_000),
            ("retries", self.retries, 0..=5),
            ("breaker_failures", self.breaker_failures, 0..=1_000_000),
        ] {
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            findings.demand(range.contains(&value), &format!("{at}.{key}"), "is out of range", &remedy);
        }
        Connection {
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            max_response_bytes: self.max_response_bytes as usize,
            max_in_flight: self.max_in_flight as usize,
            max_queued: self.max_queued as usize,
            retries: self.retries,
            breaker_failures: self.breaker_failures,
            breaker_pause: self.breaker_pause,
            ca: findings.text_file(&format!("{at}.ca_file"), self.ca_file.as_ref()),
            allow_http: self.allow_http,
        }
    }
}
