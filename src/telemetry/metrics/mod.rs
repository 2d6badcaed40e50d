//! Every metric in one place. Labels are codes of ours and partner ids from configuration: their number is bounded
//! whatever clients send. A counter that an alert waits for is there from the start, at zero: the first event of one that
//! appears with it is no increase.

mod calls;
mod operations;
mod requests;
mod store;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::registry::Registry;

use calls::Calls;
pub use calls::Guarded;
use operations::Operations;
pub use operations::SpanFate;
use requests::Requests;
pub use requests::{Served, Source};
pub use store::RedisOutcome;
use store::Store;

/// Of every name but one.
const PREFIX: &str = "mcx_broker";

/// All metrics of the broker. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: Requests,
    calls: Calls,
    store: Store,
    operations: Operations,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry of its own: several brokers can live in one process (tests, the demo).
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let operations = Operations::register(&mut registry);
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let (requests, calls) = (Requests::register(ours), Calls::register(ours));
        let store = Store::register(ours);
        Self(Arc::new(Inner { registry, requests, calls, store, operations }))
    }

    /// The OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

/// For gauges, which are signed.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
