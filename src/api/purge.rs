//! `POST /api/purge` on the admin listener: takes tokens out of every tier of every replica, or out of reach.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AdminApi, admin, body};
use crate::cache::Purge;
use crate::telemetry::audit::AuditRecord;

/// An id in some JSON is far shorter, and comes at once.
const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose tokens: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Asked {
    User(String),
    Client(String),
    Partner(String),
    All(bool),
}

/// Whose tokens are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Whose {
    /// A user's, by the value of the first of `home.subject_claims` that the user's tokens have.
    User(String),
    /// All that a client obtained.
    Client(String),
    /// All that a partner issued.
    Partner(String),
    /// Everybody's.
    All,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Purged {
    #[serde(rename = "purged")]
    pub(super) scope: &'static str,
    /// False: Redis could not be told yet; it will be.
    pub(super) replicas_told: bool,
}

/// No client, or no partner, of that id is served: it has no tokens, and would be remembered for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no {0} of that id is served")]
pub(super) struct UnknownId(&'static str);

/// Purges.
pub async fn post(request: HttpRequest, mut payload: Payload, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse_change(&request, &api) {
        return refusal;
    }
    let bytes = match body::bounded(&mut payload, MAX_BODY_BYTES, BODY_TIMEOUT).await {
        Ok(bytes) => bytes,
        Err(error) => return HttpResponse::BadRequest().json(json!({ "error": error.to_string() })),
    };
    let whose = match serde_json::from_slice(&bytes) {
        Ok(Asked::User(id)) => Whose::User(id),
        Ok(Asked::Client(id)) => Whose::Client(id),
        Ok(Asked::Partner(id)) => Whose::Partner(id),
        Ok(Asked::All(true)) => Whose::All,
        Ok(Asked::All(false)) | Err(_) => {
            let error = "state one of {\"user\": ID}, {\"client\": ID}, {\"partner\": ID}, {\"all\": true}";
            return HttpResponse::BadRequest().json(json!({ "error": error }));
        }
    };
    match whose.take_away(&api).await {
        Ok(purged) => HttpResponse::Ok().json(purged),
        Err(error) => HttpResponse::NotFound().json(json!({ "error": error.to_string() })),
    }
}

impl Whose {
    /// Checks that there can be any such tokens.
    pub(super) fn check(&self, api: &AdminApi) -> Result<(), UnknownId> {
        let definitions = api.exchange.definitions();
        match self {
            Self::Client(id) if !definitions.clients.knows(id) => Err(UnknownId("client")),
            Self::Partner(id) if !definitions.partners.knows(id) => Err(UnknownId("partner")),
            _ => Ok(()),
        }
    }

    /// Takes them away, writes it down and tells the other replicas.
    pub(super) async fn take_away(self, api: &AdminApi) -> Result<Purged, UnknownId> {
        self.check(api)?;
        let (scope, purges) = match self {
            Self::User(id) => {
                let users = api.exchange.subject_tokens.users_named(&id);
                ("user", users.into_iter().map(Purge::User).collect())
            }
            Self::Client(id) => ("client", vec![Purge::Client(id)]),
            Self::Partner(id) => ("partner", vec![Purge::Partner(id)]),
            Self::All => ("all", vec![Purge::All]),
        };
        let mut replicas_told = true;
        for purge in &purges {
            replicas_told &= api.exchange.cache.purge(purge).await;
        }
        record(api, purges.first(), replicas_told);
        api.metrics.purge(scope);
        tracing::warn!(scope, replicas_told, "purged by the operator");
        Ok(Purged { scope, replicas_told })
    }
}

/// Who loses tokens is written down like who gets them.
fn record(api: &AdminApi, purge: Option<&Purge>, replicas_told: bool) {
    let outcome = if replicas_told { "ok" } else { "replicas_not_told" };
    let at_millis = api.clock.now().unix_millis();
    let mut record = AuditRecord { at_millis, source: "purge", outcome, ..AuditRecord::default() };
    match purge {
        Some(Purge::User(user)) => record.user = Some(user),
        Some(Purge::Client(id)) => record.client = id,
        Some(Purge::Partner(id)) => record.partner = id,
        Some(Purge::Entry(_) | Purge::All) | None => {}
    }
    api.audit.record(&record);
}
