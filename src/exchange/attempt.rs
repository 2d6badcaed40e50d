//! What has become known of a request, for whoever reports its outcome.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use tracing::Span;
use tracing::field::Empty;

use crate::client::Client;
use crate::clock::{Clock, Timestamp};
use crate::partner::Partner;
use crate::random::RequestId;
use crate::secret::TokenDigest;
use crate::telemetry::traces::Trace;

/// One request on its way.
#[derive(Debug)]
pub struct Attempt {
    /// Its number.
    pub request_id: RequestId,
    /// When it came.
    pub at: Timestamp,
    /// The same by the monotonic clock.
    pub started: Duration,
    /// Who asks, once it has proved itself.
    client: Option<Arc<Client>>,
    /// Digest of the user, once the home token was validated.
    pub user: Option<[u8; 16]>,
    /// The same user by name, where it is to be written down.
    pub user_id: Option<String>,
    /// Digest of whoever acts for the user, where somebody does.
    pub actor: Option<[u8; 16]>,
    /// The same by name, where it is to be written down.
    pub actor_id: Option<String>,
    /// Digest of the home token, once it was validated.
    pub subject_token: Option<TokenDigest>,
    /// The scopes that were asked for in vain, cut to what a person reads.
    pub asked_scope: Option<String>,
    /// Of whom, once it is found.
    partner: Option<Arc<Partner>>,
    /// Its trace, if it is traced.
    pub trace: Trace,
    span: OnceCell<Span>,
}

impl Attempt {
    /// Nothing is known yet but when it came.
    pub fn new(request_id: RequestId, trace: Trace, clock: &Clock) -> Self {
        Self {
            request_id,
            at: clock.now(),
            started: clock.monotonic(),
            client: None,
            user: None,
            user_id: None,
            actor: None,
            actor_id: None,
            subject_token: None,
            asked_scope: None,
            partner: None,
            trace,
            span: OnceCell::new(),
        }
    }

    /// The client's id, empty before it has proved itself.
    pub fn client_id(&self) -> &str {
        self.client.as_ref().map_or("", |client| client.id.as_str())
    }

    /// The partner's id, empty before it is found.
    pub fn partner_id(&self) -> &str {
        self.partner.as_ref().map_or("", |partner| partner.id.as_str())
    }

    /// Of whom, once it is found.
    pub fn partner(&self) -> Option<&Partner> {
        self.partner.as_deref()
    }

    /// Who asks has proved itself.
    pub fn authenticated_as(&mut self, client: &Arc<Client>) {
        self.client = Some(Arc::clone(client));
        if let Some(span) = self.span.get() {
            span.record("client", client.id.as_str());
        }
    }

    /// The partner is found.
    pub fn resolved_to(&mut self, partner: &Arc<Partner>) {
        self.partner = Some(Arc::clone(partner));
        if let Some(span) = self.span.get() {
            span.record("partner", partner.id.as_str());
        }
    }

    /// The span of its log lines. Made when there is something to say, or somebody else is asked: most requests have
    /// neither, and a span costs more than finding their token. With many partners, a line that says only what failed
    /// helps nobody.
    pub fn span(&self) -> Span {
        let make = || {
            let request_id = self.request_id.as_str();
            // At the level of errors, so that every line has the id, whatever the operator's filter lets pass.
            let span =
                tracing::error_span!("token", request_id, client = Empty, partner = Empty, trace_id = Empty);
            if let Some(trace) = self.trace.id() {
                span.record("trace_id", trace);
            }
            if let Some(client) = &self.client {
                span.record("client", client.id.as_str());
            }
            if let Some(partner) = &self.partner {
                span.record("partner", partner.id.as_str());
            }
            span
        };
        self.span.get_or_init(make).clone()
    }
}
