//! `GET /live` and `GET /ready`. Open to everybody who reaches the admin listener: they say nothing worth hiding.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::AdminApi;
use crate::home::HomeKeys;

/// The process runs.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Requests are taken. A partner, Redis or the home IdM being away does not make the broker unready: it serves what it
/// can, and taking it out of rotation would turn one partner's bad day into everybody's.
pub async fn ready(api: Data<AdminApi>) -> HttpResponse {
    let ready = api.readiness.is_ready();
    let home_keys = match api.exchange.subject_tokens.keys() {
        HomeKeys::Fixed(_) => true,
        HomeKeys::Remote(keys) => keys.is_ready(),
    };
    let body = json!({
        "ready": ready,
        "home_keys": home_keys,
        "redis": api.exchange.cache.redis_answers(),
        "replicas_heard": api.exchange.cache.listens(),
        "partners": api.exchange.definitions().partners.len(),
    });
    if ready { HttpResponse::Ok().json(body) } else { HttpResponse::ServiceUnavailable().json(body) }
}
