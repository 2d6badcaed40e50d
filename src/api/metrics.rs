//! `GET /metrics` (OpenMetrics, which Prometheus reads).

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{AdminApi, admin};

/// All metrics.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return refusal;
    }
    let (users, bytes) = api.exchange.cache.memory_size();
    api.metrics.memory(users, bytes);
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(api.metrics.render())
}
