//! `GET /metrics` (OpenMetrics, which Prometheus reads).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{AdminApi, admin};
use crate::home::{HomeKeys, Introspector};
use crate::idm::Guard;

/// All metrics.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return refusal;
    }
    let (users, bytes) = api.exchange.cache.memory_size();
    api.metrics.memory(users, bytes);
    let exchange = &api.exchange;
    api.metrics.redis_answers(exchange.cache.redis_answers());
    if let HomeKeys::Remote(keys) = exchange.subject_tokens.keys() {
        let age = keys.age(api.clock.monotonic());
        api.metrics.home_keys_age(age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
    }
    api.metrics.revocations_pending(exchange.revocations_pending());
    let definitions = exchange.definitions();
    let guards = definitions.partners.iter().flat_map(|partner| [partner.idm.guard(), &partner.revocation]);
    let home = exchange.subject_tokens.introspector().map(Introspector::guard);
    guards.chain([exchange.security_tokens.guard()]).chain(home).for_each(Guard::report_load);
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(api.metrics.render())
}
