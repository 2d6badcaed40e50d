//! `GET /jwks`: the broker's public keys (RFC 7517), for partners that verify what it mints (B.8).

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{Busy, PublicApi};

/// The key set.
pub async fn get(request: HttpRequest, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    let keys = api.exchange.security_tokens.keys();
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "public, max-age=300")).json(keys.published())
}
