//! What proves that a form came from this listener's own page.

use std::fmt;

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::super::{AdminApi, admin};
use crate::random;
use crate::secret::digest_of_parts;

/// A secret of this process, from which the tokens of forms are made.
///
/// The threat: a page that an operator visits sends a form here. The browser adds a certificate or what was typed into
/// its dialog by itself, and a form, unlike JSON, goes to any site without asking. That page cannot read ours, so it cannot
/// know the token. The token is bound to the credential that opened the page: who may read a page of their own
/// cannot plant its token in the browser of somebody else. It ends with the process, and with the bearer token.
pub struct FormKey([u8; 32]);

impl Default for FormKey {
    fn default() -> Self {
        Self(random::bytes())
    }
}

impl FormKey {
    /// For forms of a page that is sent to whoever asked.
    pub(super) fn token(&self, request: &HttpRequest, api: &AdminApi) -> String {
        let shown = admin::credential(request, api);
        URL_SAFE_NO_PAD.encode(digest_of_parts(&[&self.0, b"form", &shown]))
    }

    /// Whether a form that was sent has it. Constant time: what differs must not show in the response time.
    pub(super) fn made(&self, presented: Option<&str>, request: &HttpRequest, api: &AdminApi) -> bool {
        let expected = self.token(request, api);
        presented.is_some_and(|presented| bool::from(expected.as_bytes().ct_eq(presented.as_bytes())))
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FormKey(***)")
    }
}
