//! `GET /api/partners` on the admin listener: how each partner's identity server does, and the home IdM.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

use super::status::{CauseView, written};
use super::{AdminApi, admin};
use crate::clock::millis;
use crate::diagnosis;
use crate::home::Introspector;
use crate::idm::GuardStatus;
use crate::partner::{Failure, Outcome, Partner};

/// Whether they are called, how much is under way, and what came of it.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return refusal;
    }
    let exchange = &api.exchange;
    let introspector = exchange.subject_tokens.introspector().map(Introspector::guard);
    let definitions = exchange.definitions();
    let mut partners: Vec<&Partner> = definitions.partners.iter().collect();
    partners.sort_unstable_by_key(|partner| &partner.id);
    HttpResponse::Ok().json(json!({
        "home": {
            "token": guard(exchange.security_tokens.guard().status()),
            "introspection": introspector.map(|introspection| guard(introspection.status())),
        },
        "acquisitions": exchange.under_way(),
        "partners": partners.into_iter().map(status).collect::<Vec<_>>(),
    }))
}

fn status(partner: &Partner) -> Value {
    let outcomes: Vec<Value> = partner.outcomes.all().iter().map(outcome).collect();
    json!({
        "id": partner.id,
        "token": guard(partner.idm.guard().status()),
        "waiting": partner.waiting.count(),
        "outcomes": outcomes,
        "failures": partner.outcomes.failures().iter().map(failure).collect::<Vec<_>>(),
    })
}

fn guard(status: GuardStatus) -> Value {
    json!({
        "breaker": status.breaker.as_str(),
        "in_flight": status.in_flight,
        "queued": status.queued,
    })
}

fn outcome(outcome: &Outcome) -> Value {
    json!({
        "leg": outcome.leg,
        "code": outcome.code,
        "count": outcome.count,
        "last": written(outcome.last),
        "last_took_ms": millis(outcome.took),
    })
}

/// The last one of a leg, with what is probably wrong.
fn failure(failure: &Failure) -> Value {
    let Failure { leg, code, status, error, cause, at } = failure;
    json!({
        "leg": leg.as_str(),
        "code": code,
        "status": status,
        "error": error,
        "at": written(*at),
        "cause": CauseView::from(*cause),
        "runbook": diagnosis::runbook(code),
    })
}
