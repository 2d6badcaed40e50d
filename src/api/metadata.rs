//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;

use super::PublicApi;

/// What the broker is and where.
pub async fn get(api: Data<PublicApi>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(&api.metadata)
}
