//! `GET /` on the admin listener: how the broker does, for people. Made from [`Status`], which `/api/status` sends as JSON.
//!
//! It works without JavaScript; a small script brings it up to date. Everything is escaped by the template: names and texts
//! come from partners' files and servers. Nothing is loaded from elsewhere, and nothing runs that is not this listener's own
//! file.

pub(super) mod action;
mod chart;
#[cfg(test)]
mod contrast;
mod form_token;
mod layout;
mod overview;
mod partner;
pub(super) mod runbook;
mod text;

use actix_web::body::BoxBody;
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

pub use form_token::FormKey;

use super::status::Status;
use super::{AdminApi, admin};

/// Beyond what every answer is allowed: this listener's own style and script, and forms that come back to it.
const ALLOWED: (HeaderName, &str) = (
    CONTENT_SECURITY_POLICY,
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);
/// With `no-referrer` browsers say of a form's origin that it is `null`, and nobody could tell ours from another site's.
const REFERRER: (HeaderName, &str) = (REFERRER_POLICY, "same-origin");

const HTML: &str = "text/html; charset=utf-8";

/// The status page.
pub async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return explained(refusal);
    }
    let status = Status::now(&api).await;
    let token = api.form_key.token(&request, &api);
    let page = layout::live(
        &status,
        &html! {
            (overview::tiles(&status))
            (partner::all(&status, &token))
            (overview::sections(&status))
            (action::everywhere(&token))
        },
    );
    answer(HttpResponse::Ok(), page)
}

/// How pages look.
pub async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(include_str!("style.css"))
}

/// What brings the status page up to date.
pub async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(include_str!("script.js"))
}

fn answer(mut response: actix_web::HttpResponseBuilder, page: Markup) -> HttpResponse {
    response.insert_header(ALLOWED).insert_header(REFERRER);
    response.content_type(HTML).body(page.into_string())
}

/// A refusal that a person reads.
fn explained(mut refusal: HttpResponse) -> HttpResponse {
    let page = if refusal.status() == actix_web::http::StatusCode::UNAUTHORIZED {
        layout::plain(
            "Who are you?",
            &html! {
                p { "This listener is for operators. The browser asks for a user name and a password: any user name will do, and the \
                     password is the bearer token (" code { "admin.bearer_token" } ")." }
                p { "Where operators have certificates (" code { "admin.tls.client_ca_file" } "), import yours into the browser." }
            },
        )
    } else {
        layout::plain(
            "Not from here",
            &html! {
                p { "Without a bearer token or certificates this listener is to be called by address, such as "
                    code { "http://127.0.0.1:9090/" } ", and not from another site's page: a name can be one that somebody else's \
                    server makes lead here." }
            },
        )
    };
    for (name, value) in [ALLOWED, REFERRER, (CONTENT_TYPE, HTML)] {
        refusal.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    refusal.set_body(BoxBody::new(page.into_string()))
}
