//! The request that is explained: written as a client would send it, and read as the broker reads it.

use std::sync::Arc;

use form_urlencoded::byte_serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::api::body::BodyError;
use crate::api::error::TokenError;
use crate::client::Credentials;
use crate::config;
use crate::exchange::examination::Examined;
use crate::exchange::{Exchange, ExchangeRequest};
use crate::oauth::form::Form;
use crate::oauth::{grant_type, token_type};

/// Who asks for what.
pub(super) struct Question {
    pub(super) client: String,
    pub(super) resource: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) live: bool,
}

/// What becomes of it.
pub(super) enum Told {
    /// It cannot be read: whoever it comes from is not asked for more.
    Unreadable(TokenError),
    /// It was looked at.
    Explained(Examined),
}

impl Question {
    /// `presented`: what was on standard input.
    pub(super) async fn ask(
        &self,
        exchange: &Arc<Exchange>,
        limits: &config::Server,
        presented: &[u8],
    ) -> Told {
        let body = self.body(&bare(presented));
        let form = match read(&body, limits.max_body_bytes) {
            Ok(form) => form,
            Err(error) => return Told::Unreadable(error),
        };
        match request(&form, limits.max_token_bytes) {
            Ok(request) => Told::Explained(exchange.examine(&request, &self.client, self.live).await),
            Err(error) => Told::Unreadable(error),
        }
    }

    fn body(&self, token: &[u8]) -> Zeroizing<Vec<u8>> {
        let stated = [
            ("grant_type", Some(grant_type::TOKEN_EXCHANGE)),
            ("subject_token_type", Some(token_type::ACCESS_TOKEN)),
            ("client_id", Some(self.client.as_str())),
            ("resource", self.resource.as_deref()),
            ("audience", self.audience.as_deref()),
            ("scope", self.scope.as_deref()),
        ];
        let mut body = Zeroizing::new(b"subject_token=".to_vec());
        body.extend(byte_serialize(token).flat_map(str::bytes));
        for (name, value) in stated {
            let Some(value) = value else { continue };
            body.extend(format!("&{name}=").bytes());
            body.extend(byte_serialize(value.as_bytes()).flat_map(str::bytes));
        }
        body
    }
}

/// A bare token without the white space around it, or the token of a token response.
fn bare(presented: &[u8]) -> Zeroizing<Vec<u8>> {
    let presented = presented.trim_ascii();
    let response =
        presented.starts_with(b"{").then(|| serde_json::from_slice::<Value>(presented).ok()).flatten();
    let token = response.as_ref().and_then(|response| response.get("access_token")?.as_str());
    Zeroizing::new(token.map_or(presented, str::as_bytes).to_vec())
}

fn read(body: &[u8], most_bytes: usize) -> Result<Form<'_>, TokenError> {
    if body.len() > most_bytes {
        return Err(BodyError::TooLarge.into());
    }
    Ok(Form::parse(body)?)
}

fn request<'f>(form: &'f Form<'_>, max_token_bytes: usize) -> Result<ExchangeRequest<'f>, TokenError> {
    Credentials::read(None, form, None)?;
    Ok(ExchangeRequest::read(form, max_token_bytes)?)
}
