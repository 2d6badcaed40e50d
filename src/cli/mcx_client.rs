//! An MCX client (TS 33.180 Annex B) as far as the commands need one: the token requests of B.4.2.4 and RFC 8693.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::http::{Answer, HttpClient, HttpError};
use crate::idm::{EndpointSettings, Endpoints, IdmError, SecretEncoding, basic};
use crate::json::harmless;
use crate::oauth::{form, grant_type, token_type};
use crate::secret::{Secret, Token};

/// A registered client.
pub(super) struct McxClient {
    pub(super) id: String,
    /// `client_secret_basic`; `None`: a public client, which states its id in the body.
    pub(super) secret: Option<Secret>,
    pub(super) http: HttpClient,
}

/// What is asked of the broker.
#[derive(Debug, Clone, Default)]
pub(super) struct ExchangeTerms {
    /// The partner IdM (B.7.2).
    pub(super) resource: Option<String>,
    /// The partner's id or domain.
    pub(super) audience: Option<String>,
    /// Space-delimited; `None`: the partner's default.
    pub(super) scope: Option<String>,
    /// Of the home token, in full.
    pub(super) subject_token_type: Option<String>,
    /// In full; `None`: an access token.
    pub(super) requested_token_type: Option<String>,
}

/// What a login brought, to be exchanged for tokens at the token endpoint (B.4.2.4).
pub(super) struct AuthorizationCode {
    pub(super) code: Secret,
    pub(super) redirect_uri: String,
    /// RFC 7636.
    pub(super) verifier: Secret,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// The server's metadata cannot be had.
    #[error("{0}: {1}")]
    Metadata(String, IdmError),
    /// No answer.
    #[error("{0}: {1}")]
    Http(String, HttpError),
    /// An OAuth error response (RFC 6749 §5.2).
    #[error("{status} {error}{}", if description.is_empty() { String::new() } else { format!(": {description}") })]
    Refused { status: u16, error: String, description: String },
    /// Anything else.
    #[error("{0} answered {1} without a token and without an OAuth error")]
    Nonsense(String, u16),
}

/// The JSON of a token response. It holds tokens: no `Debug`.
pub(super) struct TokenAnswer(pub(super) Map<String, Value>);

impl McxClient {
    /// The endpoints of a server that publishes metadata (RFC 8414, OpenID Connect Discovery).
    pub(super) fn endpoints(&self, issuer: &str) -> DiscoveredEndpoints<'_> {
        let settings =
            EndpointSettings { issuer: issuer.to_owned(), discovery: true, ..EndpointSettings::default() };
        DiscoveredEndpoints { endpoints: Endpoints::new(settings, Clock::system()), http: &self.http }
    }

    /// B.4.2.4.
    pub(super) async fn redeem(
        &self,
        token_endpoint: &str,
        code: &AuthorizationCode,
    ) -> Result<TokenAnswer, ClientError> {
        let parameters = vec![
            ("grant_type", grant_type::AUTHORIZATION_CODE),
            ("code", code.code.expose()),
            ("redirect_uri", &code.redirect_uri),
            ("code_verifier", code.verifier.expose()),
        ];
        self.request(token_endpoint, parameters).await
    }

    /// RFC 8693, at the broker: both legs of B.7 happen there.
    pub(super) async fn exchange(
        &self,
        token_endpoint: &str,
        subject_token: &Token,
        terms: &ExchangeTerms,
    ) -> Result<TokenAnswer, ClientError> {
        let subject_token_type = terms.subject_token_type.as_deref().unwrap_or(token_type::ACCESS_TOKEN);
        let mut parameters = vec![
            ("grant_type", grant_type::TOKEN_EXCHANGE),
            ("subject_token", subject_token.expose()),
            ("subject_token_type", subject_token_type),
        ];
        for (name, value) in [
            ("resource", &terms.resource),
            ("audience", &terms.audience),
            ("scope", &terms.scope),
            ("requested_token_type", &terms.requested_token_type),
        ] {
            parameters.extend(value.as_deref().map(|value| (name, value)));
        }
        self.request(token_endpoint, parameters).await
    }

    async fn request(
        &self,
        url: &str,
        mut parameters: Vec<(&str, &str)>,
    ) -> Result<TokenAnswer, ClientError> {
        let authorization = self.secret.as_ref().map(|secret| basic(&self.id, secret, SecretEncoding::Form));
        if authorization.is_none() {
            parameters.push(("client_id", &self.id));
        }
        let body = Zeroizing::new(form::encode(parameters));
        let answer = self.http.post_form(url, body, authorization.as_ref()).await;
        let answer = answer.map_err(|error| ClientError::Http(url.to_owned(), error))?;
        TokenAnswer::read(url, &answer)
    }
}

/// The endpoints of one server, asked for once.
pub(super) struct DiscoveredEndpoints<'h> {
    endpoints: Endpoints,
    http: &'h HttpClient,
}

impl DiscoveredEndpoints<'_> {
    pub(super) async fn token(&self) -> Result<String, ClientError> {
        self.named(self.endpoints.token_endpoint(self.http).await)
    }

    pub(super) async fn authorization(&self) -> Result<String, ClientError> {
        self.named(self.endpoints.authorization_endpoint(self.http).await)
    }

    fn named(&self, found: Result<String, IdmError>) -> Result<String, ClientError> {
        found.map_err(|error| ClientError::Metadata(self.endpoints.issuer().to_owned(), error))
    }
}

impl TokenAnswer {
    fn read(url: &str, answer: &Answer) -> Result<Self, ClientError> {
        let members: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(printable);
        if let Some(error) = text("error") {
            let description = text("error_description").unwrap_or_default();
            return Err(ClientError::Refused { status: answer.status, error, description });
        }
        match members.get("access_token") {
            Some(Value::String(token)) if answer.status == 200 && !token.is_empty() => Ok(Self(members)),
            _ => Err(ClientError::Nonsense(url.to_owned(), answer.status)),
        }
    }

    /// All of it, for the file or the pipe that it was asked for.
    pub(super) fn json(&self) -> Secret {
        Secret::from(serde_json::to_string_pretty(&self.0).unwrap_or_default())
    }
}

/// A server's text without what would move the cursor or forge a line.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(500).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<TokenAnswer, ClientError> {
        let body = Zeroizing::new(body.as_bytes().to_vec());
        TokenAnswer::read(
            "https://idm.example/token",
            &Answer { status, retry_after: None, date: None, body },
        )
    }

    #[test]
    fn whatever_else_comes_back_has_an_explanation() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"invalid_scope","error_description":"no\u001b[2J"}"#,
                "400 invalid_scope: no\u{fffd}[2J",
            ),
            (401, r#"{"error":"invalid_client"}"#, "401 invalid_client"),
            (200, r#"{"error":"invalid_grant","access_token":"a"}"#, "200 invalid_grant"),
            (500, r#"{"access_token":"a"}"#, "answered 500 without a token"),
            (200, "<html>", "answered 200 without a token"),
            (200, r#"{"access_token":7}"#, "answered 200 without a token"),
            (200, r#"{"access_token":""}"#, "answered 200 without a token"),
        ] {
            let error = answer(status, body).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }
}
