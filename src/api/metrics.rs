//! `GET /metrics` (OpenMetrics, which Prometheus reads).

use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::AdminApi;

/// All metrics.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if !is_admin(&request, &api) {
        return HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
    }
    HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(api.metrics.render())
}

fn is_admin(request: &HttpRequest, api: &AdminApi) -> bool {
    let Some(expected) = &api.bearer_token else { return true };
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The scheme in any case (RFC 9110 §11.1).
    let presented = header.and_then(|value| value.split_once(' '));
    presented.is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("Bearer") && expected.matches(token))
}
