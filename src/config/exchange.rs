//! `[exchange]` of a partner file: the limits of whole exchanges with one partner.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::value;

/// The limits of exchanges with one partner.
#[derive(Debug, Clone)]
pub struct ExchangeLimits {
    /// Overall deadline, both legs; `None`: that of the broker file.
    pub timeout: Option<Duration>,
    /// Requests that wait for this partner's tokens at a time; one more is refused at once.
    pub max_waiting: usize,
}

/// The limits of whole exchanges with one partner.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct ExchangeTable {
    /// Overall deadline, both legs; never later than the broker's.
    #[serde(deserialize_with = "value::OptionalPeriod::deserialize")]
    #[schemars(with = "value::OptionalPeriod")]
    timeout: Option<Duration>,
    /// Requests that wait for this partner's tokens at a time; one more is refused at once.
    max_waiting: u32,
}

impl Default for ExchangeTable {
    fn default() -> Self {
        Self { timeout: None, max_waiting: 4096 }
    }
}

impl ExchangeTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> ExchangeLimits {
        if let Some(timeout) = self.timeout {
            let (least, most) = (Duration::from_millis(100), Duration::from_secs(300));
            findings.between("exchange.timeout", timeout, least, most);
        }
        findings.demand(
            (1..=1_000_000).contains(&self.max_waiting),
            "exchange.max_waiting",
            "is out of range",
            "write a number from 1 to 1000000",
        );
        ExchangeLimits { timeout: self.timeout, max_waiting: self.max_waiting as usize }
    }
}
