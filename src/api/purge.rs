//! `POST /api/purge` on the admin listener: takes tokens out of every tier of every replica, or out of reach.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::{AdminApi, admin, body};
use crate::cache::Purge;
use crate::telemetry::audit::AuditRecord;

/// An id in some JSON is far shorter, and comes at once.
const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose tokens: exactly one of these.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Whose {
    /// A user, by the value of the first of `home.subject_claims` that the user's tokens have.
    User(String),
    /// All that a client obtained.
    Client(String),
    /// All that a partner issued.
    Partner(String),
    /// Everybody's.
    All(bool),
}

/// Purges.
pub async fn post(request: HttpRequest, mut payload: Payload, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse_change(&request, &api) {
        return refusal;
    }
    let bytes = match body::bounded(&mut payload, MAX_BODY_BYTES, BODY_TIMEOUT).await {
        Ok(bytes) => bytes,
        Err(error) => return HttpResponse::BadRequest().json(json!({ "error": error.to_string() })),
    };
    let (scope, purges) = match serde_json::from_slice(&bytes) {
        Ok(Whose::User(id)) => {
            let users = api.exchange.subject_tokens.users_named(&id);
            ("user", users.into_iter().map(Purge::User).collect())
        }
        // What is not known has no tokens, and would be remembered for nothing.
        Ok(Whose::Client(id)) if !api.exchange.definitions().clients.knows(&id) => return unknown("client"),
        Ok(Whose::Partner(id)) if !api.exchange.definitions().partners.knows(&id) => {
            return unknown("partner");
        }
        Ok(Whose::Client(id)) => ("client", vec![Purge::Client(id)]),
        Ok(Whose::Partner(id)) => ("partner", vec![Purge::Partner(id)]),
        Ok(Whose::All(true)) => ("all", vec![Purge::All]),
        Ok(Whose::All(false)) | Err(_) => {
            let error = "state one of {\"user\": ID}, {\"client\": ID}, {\"partner\": ID}, {\"all\": true}";
            return HttpResponse::BadRequest().json(json!({ "error": error }));
        }
    };
    let mut replicas_told = true;
    for purge in &purges {
        replicas_told &= api.exchange.cache.purge(purge).await;
    }
    record(&api, purges.first(), replicas_told);
    api.metrics.purge(scope);
    tracing::warn!(scope, replicas_told, "purged by the operator");
    HttpResponse::Ok().json(json!({ "purged": scope, "replicas_told": replicas_told }))
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

fn unknown(what: &str) -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": format!("no {what} of that id is served") }))
}
