//! `GET /api/partners` on the admin listener: how each partner's identity server does, and the home IdM.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::json;

use super::status::{FailureView, GuardView, written};
use super::{AdminApi, admin};
use crate::clock::millis;
use crate::home::Introspector;
use crate::partner::{Outcome, Partner};

/// Whether they are called, how much is under way, and what came of it.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return refusal;
    }
    let exchange = &api.exchange;
    let introspector = exchange.subject_tokens.introspector().map(Introspector::guard);
    let definitions = exchange.definitions();
    let mut partners: Vec<&Partner> = definitions.partners.iter().map(AsRef::as_ref).collect();
    partners.sort_unstable_by_key(|partner| &partner.id);
    HttpResponse::Ok().json(json!({
        "home": {
            "token": GuardView::from(exchange.security_tokens.guard().status()),
            "introspection": introspector.map(|guard| GuardView::from(guard.status())),
        },
        "acquisitions": exchange.under_way(),
        "partners": partners.into_iter().map(PartnerOutcomes::of).collect::<Vec<_>>(),
    }))
}

#[derive(Serialize)]
struct PartnerOutcomes<'p> {
    id: &'p str,
    token: GuardView,
    waiting: usize,
    outcomes: Vec<OutcomeView>,
    /// The last one of each leg that had one.
    failures: Vec<FailureView>,
}

#[derive(Serialize)]
struct OutcomeView {
    leg: &'static str,
    code: &'static str,
    count: u64,
    last: String,
    last_took_ms: u64,
}

impl<'p> PartnerOutcomes<'p> {
    fn of(partner: &'p Partner) -> Self {
        Self {
            id: &partner.id,
            token: partner.idm.guard().status().into(),
            waiting: partner.waiting.count(),
            outcomes: partner.outcomes.all().into_iter().map(OutcomeView::from).collect(),
            failures: partner.outcomes.failures().into_iter().map(FailureView::from).collect(),
        }
    }
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        let Outcome { leg, code, count, last, took } = outcome;
        Self { leg, code, count, last: written(last), last_took_ms: millis(took) }
    }
}
