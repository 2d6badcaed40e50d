//! Calls to identity servers: what their guards let through, and what not.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, number};

pub(super) struct Calls {
    breakers: Family<IdmLabels, Gauge>,
    in_flight: Family<IdmLabels, Gauge>,
    queued: Family<IdmLabels, Gauge>,
    shed: Family<ShedLabels, Counter>,
    retries: Family<IdmLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdmLabels {
    idm: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    idm: String,
    reason: &'static str,
}

/// What is counted of one identity server's guard, resolved once.
#[derive(Debug, Clone)]
pub struct Guarded {
    open: Gauge,
    in_flight: Gauge,
    queued: Gauge,
    paused: Counter,
    overloaded: Counter,
    retries: Counter,
}

impl Guarded {
    /// Its circuit breaker opened, or closed.
    pub fn opened(&self, open: bool) {
        self.open.set(i64::from(open));
    }

    /// Calls under way, and calls that wait: told when somebody asks.
    pub fn load(&self, in_flight: usize, queued: usize) {
        self.in_flight.set(number(in_flight));
        self.queued.set(number(queued));
    }

    /// A call was not made because the breaker is open.
    pub fn paused(&self) {
        self.paused.inc();
    }

    /// A call was not made because too many are waiting.
    pub fn overloaded(&self) {
        self.overloaded.inc();
    }

    /// A call is made again.
    pub fn retried(&self) {
        self.retries.inc();
    }
}

impl Calls {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (breakers, in_flight, queued) = (Family::default(), Family::default(), Family::default());
        registry.register(
            "breaker_open",
            "Whether an identity server's circuit breaker is open",
            breakers.clone(),
        );
        registry.register("calls_in_flight", "Calls to an identity server under way", in_flight.clone());
        registry.register(
            "calls_queued",
            "Calls to an identity server waiting for their turn",
            queued.clone(),
        );
        let (shed, retries) = (Family::default(), Family::default());
        registry.register("calls_shed", "Calls to an identity server that were not made", shed.clone());
        registry.register("call_retries", "Calls to an identity server made again", retries.clone());
        Self { breakers, in_flight, queued, shed, retries }
    }
}

impl Metrics {
    /// What is counted of the guard of one identity server; `idm`: from configuration.
    pub fn guarded(&self, idm: &str) -> Guarded {
        let (calls, labels) = (&self.0.calls, IdmLabels { idm: idm.to_owned() });
        let shed = |reason| calls.shed.get_or_create_owned(&ShedLabels { idm: idm.to_owned(), reason });
        Guarded {
            open: calls.breakers.get_or_create_owned(&labels),
            in_flight: calls.in_flight.get_or_create_owned(&labels),
            queued: calls.queued.get_or_create_owned(&labels),
            paused: shed("breaker_open"),
            overloaded: shed("overloaded"),
            retries: calls.retries.get_or_create_owned(&labels),
        }
    }

    /// An identity server that is called no more has no breaker and no load.
    pub fn unguarded(&self, idm: &str) {
        let labels = IdmLabels { idm: idm.to_owned() };
        let Calls { breakers, in_flight, queued, .. } = &self.0.calls;
        for gauge in [breakers, in_flight, queued] {
            gauge.remove(&labels);
        }
    }
}
