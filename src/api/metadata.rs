//! `GET /.well-known/oauth-authorization-server` (RFC 8414).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{Busy, PublicApi};

/// What the broker is and where.
pub async fn get(request: HttpRequest, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(&api.metadata)
}
