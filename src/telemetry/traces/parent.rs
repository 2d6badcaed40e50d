//! W3C Trace Context, in and out: which trace a request belongs to, and what those are told who are asked on its behalf.

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// What a vendor must pass on of it (W3C Trace Context §3.3.1.5). A longer one is dropped: it would travel on with each call.
const LONGEST_STATE: usize = 512;
/// A `traceparent` has 55 characters; later versions may have more.
const LONGEST_PARENT: usize = 128;

/// What a client says of the trace that its request belongs to.
#[derive(Debug)]
pub struct Incoming(SpanContext);

struct Headers<'h> {
    parent: &'h str,
    state: Option<&'h str>,
}

#[derive(Default)]
struct Told(Vec<(&'static str, String)>);

impl Incoming {
    /// `None`: nothing, or nothing that is well-formed. A stranger wrote it: it decides how a trace is called, and otherwise
    /// what the sampling lets it decide.
    pub(super) fn read<'r>(header: impl Fn(&'static str) -> Option<&'r str>) -> Option<Self> {
        let parent = header(TRACEPARENT).filter(|parent| parent.len() <= LONGEST_PARENT)?;
        let state = header(TRACESTATE).filter(|state| state.len() <= LONGEST_STATE);
        let headers = Headers { parent, state };
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
        let span = context.span().span_context().clone();
        span.is_valid().then_some(Self(span))
    }

    /// Whether the client's side records it.
    pub(super) fn is_sampled(&self) -> bool {
        self.0.is_sampled()
    }

    pub(super) fn into_context(self) -> Context {
        Context::new().with_remote_span_context(self.0)
    }
}

/// The headers for whoever is called on behalf of the trace that is entered; none without one.
pub fn outgoing() -> Vec<(&'static str, String)> {
    let mut told = Told::default();
    Context::map_current(|context| {
        if context.has_active_span() {
            TraceContextPropagator::new().inject_context(context, &mut told);
        }
    });
    told.0.retain(|(_, value)| !value.is_empty());
    told.0
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.parent),
            TRACESTATE => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

impl Injector for Told {
    fn set(&mut self, key: &str, value: String) {
        for name in [TRACEPARENT, TRACESTATE] {
            if key == name {
                self.0.push((name, value));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parent: &'static str, state: Option<&'static str>) -> Option<Incoming> {
        Incoming::read(|name| if name == TRACEPARENT { Some(parent) } else { state })
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_not_a_trace_context_is_none() {
        assert!(read(PARENT, None).unwrap().is_sampled());
        assert!(!read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", None).unwrap().is_sampled());
        for parent in [
            "",
            "00",
            "00-0-0-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-and-more",
            "00-\u{e9}af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert!(read(parent, None).is_none(), "{parent}");
        }
        let long: &'static str = format!("{PARENT}{}", "-0".repeat(100)).leak();
        assert!(read(long, None).is_none());
    }

    #[test]
    fn the_state_travels_on_when_it_is_short_and_well_formed() {
        let told = |state: &'static str| {
            let _entered = read(PARENT, Some(state)).unwrap().into_context().attach();
            outgoing()
        };
        let state =
            |told: Vec<(&'static str, String)>| told.into_iter().find(|(name, _)| *name == TRACESTATE);
        assert_eq!(state(told("vendor=1")), Some((TRACESTATE, "vendor=1".to_owned())));
        assert_eq!(state(told("no state at all")), None);
        assert_eq!(state(told(format!("vendor={}", "a".repeat(600)).leak())), None);
        assert_eq!(told("vendor=1")[0], (TRACEPARENT, PARENT.to_owned()));
        assert_eq!(outgoing(), [], "nobody is told of a trace that is not there");
    }
}
