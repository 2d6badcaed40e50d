//! Traces.

use super::Wiring;
use crate::config;
use crate::http::{Collector, HttpClient, HttpSettings, SettingsError};
use crate::telemetry::traces::{Sampling, TraceSettings, Traces};

/// What a collector answers is short.
const LONGEST_ANSWER: usize = 64 * 1024;

impl Wiring<'_> {
    pub(super) fn traces(&mut self) -> Traces {
        let stated = &self.configuration.traces;
        let Some(collector) = &stated.collector else { return Traces::off() };
        let http = HttpSettings {
            timeout: collector.timeout,
            max_response_bytes: LONGEST_ANSWER,
            ca_pem: collector.ca.as_ref().map(|file| file.text.clone().into_bytes()),
            allow_http: collector.allow_http,
            ..HttpSettings::default()
        };
        let http = match HttpClient::new(&http) {
            Ok(http) => http,
            Err(error) => {
                let key = if error == SettingsError::Ca { "traces.ca_file" } else { "traces" };
                self.problem("traces", key, error, "name a file of PEM certificates");
                return Traces::off();
            }
        };
        let settings = TraceSettings {
            endpoint: collector.endpoint.clone(),
            timeout: collector.timeout,
            service: stated.service.clone(),
            sampling: Sampling::new(stated.sample, stated.follow_clients, stated.most_per_second),
        };
        let carrier = Collector::new(http, collector.authorization.clone());
        match Traces::to_collector(settings, carrier, &self.metrics) {
            Ok(traces) => traces,
            Err(error) => {
                self.problem("traces", "traces.endpoint", error, "write the collector's URL for traces");
                Traces::off()
            }
        }
    }

    /// Whether an identity server is told which trace a call belongs to.
    pub(super) fn tells_trace(&self, is_home: bool) -> bool {
        let traces = &self.configuration.traces;
        let told = match traces.told {
            config::Told::Nobody => false,
            config::Told::Home => is_home,
            config::Told::All => true,
        };
        told && traces.collector.is_some()
    }
}
