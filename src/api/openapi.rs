//! `GET /openapi.json` of each listener: the committed documents, which the tests compare with the routes and hold against the
//! running broker.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};

use serde_json::Value;

use super::{AdminApi, ApiSettings, Busy, PublicApi, WELL_KNOWN, admin};

const PUBLIC: &str = include_str!("openapi/public.json");
const ADMIN: &str = include_str!("openapi/admin.json");

/// What the committed document says where a broker says its own: issuer, token endpoint, metadata.
const ISSUER: &str = r#""url": "https://broker.home.example""#;
const TOKEN: &str = r#""/token":"#;

/// The public listener's document with the issuer and the paths of this broker.
pub fn of_public_listener(issuer: &str, settings: &ApiSettings) -> Bytes {
    let metadata = format!("{WELL_KNOWN}{}", settings.issuer_path);
    PUBLIC
        .replacen(ISSUER, &format!(r#""url": {}"#, quoted(issuer.trim_end_matches('/'))), 1)
        .replacen(TOKEN, &format!("{}:", quoted(&settings.token_path)), 1)
        .replacen(&format!(r#""{WELL_KNOWN}":"#), &format!("{}:", quoted(&metadata)), 1)
        .into()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The public listener's.
pub async fn get(request: HttpRequest, api: Data<PublicApi>) -> HttpResponse {
    let _busy = Busy::with(&request);
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        .content_type("application/json")
        .body(api.document.clone())
}

/// The admin listener's.
pub async fn get_admin(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    match admin::refuse(&request, &api) {
        Some(refusal) => refusal,
        None => HttpResponse::Ok().content_type("application/json").body(ADMIN),
    }
}
