//! Who may use the admin listener, and what browsers are told about its answers.

use std::net::IpAddr;

use actix_web::http::Method;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CROSS_ORIGIN_OPENER_POLICY,
    CROSS_ORIGIN_RESOURCE_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::http::uri::Authority;
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::{AdminApi, body};
use crate::client::ClientCertificate;
use crate::secret::{Secret, sha256};

/// By whom a browser's request was made (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// On every answer: it is for who asked, shows in no frame, and loads and runs nothing.
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CACHE_CONTROL, "no-store"))
        .add((
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ))
        .add((REFERRER_POLICY, "no-referrer"))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((X_FRAME_OPTIONS, "DENY"))
        .add((CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
        .add((CROSS_ORIGIN_OPENER_POLICY, "same-origin"))
}

/// The answer to somebody who may not.
pub(super) fn refuse(request: &HttpRequest, api: &AdminApi) -> Option<HttpResponse> {
    let is_guarded = api.bearer_token.load().is_some() || api.takes_certificates;
    if is_another_sites(request) || (!is_guarded && !is_called_by_address(request)) {
        return Some(HttpResponse::Forbidden().finish());
    }
    let is_allowed = !is_guarded || shows_certificate(request, api) || bears_token(request, api);
    let refusal = || {
        let mut response = HttpResponse::Unauthorized();
        // A person's browser asks for the token by the second.
        for scheme in ["Bearer", "Basic realm=\"MCX token broker\", charset=\"UTF-8\""] {
            response.append_header((WWW_AUTHENTICATE, scheme));
        }
        response.finish()
    };
    (!is_allowed).then(refusal)
}

/// The same to somebody who may not change anything. The body must be declared as JSON: a web page cannot send that to another
/// origin without being asked, so no page that an operator happens to visit changes anything here.
pub(super) fn refuse_change(request: &HttpRequest, api: &AdminApi) -> Option<HttpResponse> {
    refuse(request, api).or_else(|| {
        let error = || json!({ "error": "Content-Type must be application/json" });
        let refusal = || HttpResponse::UnsupportedMediaType().json(error());
        (!body::is_declared_as(request, "application/json")).then(refusal)
    })
}

/// The same to somebody who may not send a form. A browser says where a form comes from; one that says `null` hides it. What
/// proves that it is of our own page is in it.
pub(super) fn refuse_form(request: &HttpRequest, api: &AdminApi) -> Option<HttpResponse> {
    refuse(request, api).or_else(|| {
        let origin = request.headers().get(ORIGIN);
        let is_another =
            origin.is_some_and(|origin| !is_origin_of(origin.to_str().unwrap_or_default(), request));
        is_another.then(|| HttpResponse::Forbidden().finish())
    })
}

/// What stands for the credential that let a request in; empty: none is demanded.
pub(super) fn credential(request: &HttpRequest, api: &AdminApi) -> Vec<u8> {
    if shows_certificate(request, api) {
        let certificate = request.conn_data::<ClientCertificate>();
        return certificate.map(|it| format!("{it:?}").into_bytes()).unwrap_or_default();
    }
    let token = api.bearer_token.load();
    token.as_ref().map(|token| sha256(token.expose().as_bytes()).to_vec()).unwrap_or_default()
}

/// Whether a page of `origin` was loaded from where this request went. Whether by TLS is not known here: a proxy may have
/// ended it.
fn is_origin_of(origin: &str, request: &HttpRequest) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 says it with the path.
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let from = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    from.zip(host).is_some_and(|(from, host)| from.eq_ignore_ascii_case(host))
}

/// Whether the connection has a certificate: any of `admin.tls.client_ca_file` is an operator's.
fn shows_certificate(request: &HttpRequest, api: &AdminApi) -> bool {
    let certificate = request.conn_data::<ClientCertificate>();
    api.takes_certificates && certificate.is_some_and(|it| it.is_valid_at(api.clock.now()))
}

/// As a bearer token, or as the password that a browser has asked its user for (RFC 7617), whatever the user's name. That
/// needs no session of ours: nothing to keep, to steal or to end, and a token that is replaced ends at once. What it costs is
/// that browsers send it by themselves, with other sites' requests too: see [`refuse_change`] and [`refuse_form`].
fn bears_token(request: &HttpRequest, api: &AdminApi) -> bool {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The scheme in any case (RFC 9110 §11.1).
    let presented = header.and_then(|value| value.split_once(' '));
    api.bearer_token.load().as_ref().zip(presented).is_some_and(
        |(expected, (scheme, presented))| match scheme.to_ascii_lowercase().as_str() {
            "bearer" => expected.matches(presented),
            "basic" => password(presented).is_some_and(|password| expected.matches(password.expose())),
            _ => false,
        },
    )
}

fn password(presented: &str) -> Option<Secret> {
    let decoded = Zeroizing::new(STANDARD.decode(presented).ok()?);
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Secret::from(password))
}

/// A page of another site that an operator happens to visit changes nothing here, whatever the browser sends along.
fn is_another_sites(request: &HttpRequest) -> bool {
    let site = request.headers().get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    request.method() != Method::GET && site.is_some_and(|site| !matches!(site, b"same-origin" | b"none"))
}

/// Without a guard only this machine comes here, and by address: a name can be one that a web page's own server
/// makes lead here (DNS rebinding), and then the page reads what it likes.
fn is_called_by_address(request: &HttpRequest) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/1.0 and HTTP/2 have none; a browser always says where it means to be.
    host.is_none_or(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    })
}
