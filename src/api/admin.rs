//! Who may use the admin listener.

use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse};

use super::AdminApi;

/// The answer to somebody who may not.
pub(super) fn refuse(request: &HttpRequest, api: &AdminApi) -> Option<HttpResponse> {
    let allowed = match &api.bearer_token {
        None => true,
        Some(expected) => {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            // The scheme in any case (RFC 9110 §11.1).
            let presented = header.and_then(|value| value.split_once(' '));
            presented.is_some_and(|(scheme, token)| {
                scheme.eq_ignore_ascii_case("Bearer") && expected.matches(token)
            })
        }
    };
    let refusal = || HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
    (!allowed).then(refusal)
}
