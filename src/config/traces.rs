//! `[traces]`: where requests are followed to.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{NamedFile, TextFile};
use super::findings::Findings;
use super::value;
use crate::secret::Secret;

/// Traces of requests.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Where they are sent; `None`: no request is traced.
    pub collector: Option<Collector>,
    /// From 0 to 1: the share of requests that are traced though their client says nothing.
    pub sample: f64,
    /// Whether a client's `traceparent` decides for its request.
    pub follow_clients: bool,
    /// In a second, whoever asks for it.
    pub most_per_second: u32,
    /// Which identity servers are told.
    pub told: Told,
    /// `service.name`.
    pub service: String,
}

/// A collector of traces (OTLP over HTTP).
#[derive(Debug, Clone)]
pub struct Collector {
    /// Its address for traces.
    pub endpoint: String,
    /// The `Authorization` header that it demands.
    pub authorization: Option<Secret>,
    /// One export.
    pub timeout: Duration,
    /// CA certificates (PEM) that are trusted instead of the system's.
    pub ca: Option<TextFile>,
    /// Whether plain `http` beyond loopback is allowed.
    pub allow_http: bool,
}

/// Which identity servers are told the trace that a call belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// None.
    Nobody,
    /// The home IdM: it is of the same organisation.
    #[default]
    Home,
    /// Partners too, who then can tell which of their calls belong together.
    All,
}

/// Traces of requests (OpenTelemetry).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct TracesTable {
    /// The collector's address for traces (OTLP over HTTP), such as `https://collector.example:4318/v1/traces`.
    /// Absent: no request is traced.
    endpoint: Option<String>,
    /// The `Authorization` header that it demands, such as `Bearer ...`.
    authorization: Option<Secret>,
    /// The same from a file.
    authorization_file: Option<NamedFile>,
    /// One export; what takes longer is lost.
    #[serde(with = "value::Period")]
    timeout: Duration,
    /// CA certificates (PEM) trusted **instead of** the system's.
    ca_file: Option<NamedFile>,
    /// Plain `http` to the collector, beyond loopback.
    allow_http: bool,
    /// The share of requests that are traced though their client says nothing, from 0 to 1.
    sample: f64,
    /// Whether a client's `traceparent` decides whether its request is traced.
    follow_clients: bool,
    /// Traced requests in a second at most, whoever asks for it.
    most_per_second: u32,
    /// Which identity servers are sent `traceparent`: `nobody`, `home` or `all`.
    told: Told,
    /// `service.name` of the spans.
    service: String,
}

impl Default for TracesTable {
    fn default() -> Self {
        Self {
            endpoint: None,
            authorization: None,
            authorization_file: None,
            timeout: Duration::from_secs(5),
            ca_file: None,
            allow_http: false,
            sample: 0.1,
            follow_clients: true,
            most_per_second: 100,
            told: Told::Home,
            service: "mcx-token-broker".into(),
        }
    }
}

impl TracesTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> Traces {
        findings.between("traces.timeout", self.timeout, Duration::from_millis(10), Duration::from_secs(60));
        let demand = "write a number from 0 (none) to 1 (all)";
        findings.demand((0.0..=1.0).contains(&self.sample), "traces.sample", "is out of range", demand);
        findings.demand(
            (1..=10_000).contains(&self.most_per_second),
            "traces.most_per_second",
            "is out of range",
            "write a number from 1 to 10000",
        );
        let authorization = findings.secret(
            "traces.authorization",
            self.authorization.as_ref(),
            self.authorization_file.as_ref(),
        );
        let ca = findings.text_file("traces.ca_file", self.ca_file.as_ref());
        let (timeout, allow_http) = (self.timeout, self.allow_http);
        let collector = self.endpoint.map(|endpoint| {
            findings.endpoint("traces.endpoint", &endpoint, allow_http);
            Collector { endpoint, authorization, timeout, ca, allow_http }
        });
        Traces {
            collector,
            sample: self.sample,
            follow_clients: self.follow_clients,
            most_per_second: self.most_per_second,
            told: self.told,
            service: self.service,
        }
    }
}
