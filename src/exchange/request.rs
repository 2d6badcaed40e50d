//! What a client asks for (RFC 8693 §2.1): validated types only.

use crate::oauth::form::Form;
use crate::oauth::scope::{MAX_SCOPES, ScopeText};
use crate::oauth::{grant_type, token_type};
use crate::secret::TokenRef;

/// One token exchange request, where it stands in the body: most requests are answered without a copy of any part.
#[derive(Debug)]
pub struct ExchangeRequest<'f> {
    /// The home access token.
    pub subject_token: TokenRef<'f>,
    /// Who acts for the user, by a home access token of its own.
    pub actor_token: Option<TokenRef<'f>>,
    /// The partner IdM (B.7.2).
    pub resource: Option<&'f str>,
    /// The partner's id or domain.
    pub audience: Option<&'f str>,
    /// `None`: the partner's default.
    pub scope: Option<ScopeText<'f>>,
    /// How much of the chain.
    pub requested: RequestedToken,
}

/// `requested_token_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestedToken {
    /// The partner's access token: the whole chain.
    AccessToken,
    /// The security token alone (B.7.3).
    SecurityToken,
}

impl RequestedToken {
    /// The token type identifier (RFC 8693 §3).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => token_type::ACCESS_TOKEN,
            Self::SecurityToken => token_type::JWT,
        }
    }
}

/// Why a form is not an exchange request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// `grant_type` is missing.
    #[error("grant_type is missing")]
    NoGrantType,
    /// Another grant.
    #[error("grant_type is not token exchange (urn:ietf:params:oauth:grant-type:token-exchange)")]
    UnsupportedGrantType,
    /// A required parameter is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A parameter is too long.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// A parameter has a value that is not supported or malformed.
    #[error("{0} is malformed or not supported")]
    Malformed(&'static str),
}

/// Longest `resource`, `audience`, `scope`.
const MAX_PARAMETER_BYTES: usize = 4096;

impl<'f> ExchangeRequest<'f> {
    /// Reads a form. `max_token_bytes` bounds the subject token.
    pub fn read(form: &'f Form<'_>, max_token_bytes: usize) -> Result<Self, RequestError> {
        match form.get("grant_type") {
            Some(grant_type::TOKEN_EXCHANGE) => {}
            Some(_) => return Err(RequestError::UnsupportedGrantType),
            None => return Err(RequestError::NoGrantType),
        }
        let subject_token = token(form, ["subject_token", "subject_token_type"], max_token_bytes)?;
        let subject_token = subject_token.ok_or(RequestError::Missing("subject_token"))?;
        let actor_token = token(form, ["actor_token", "actor_token_type"], max_token_bytes)?;
        let requested = match form.get("requested_token_type") {
            None | Some(token_type::ACCESS_TOKEN) => RequestedToken::AccessToken,
            Some(token_type::JWT) => RequestedToken::SecurityToken,
            Some(_) => return Err(RequestError::Malformed("requested_token_type")),
        };
        Ok(Self {
            subject_token,
            actor_token,
            resource: bounded(form, "resource")?,
            audience: bounded(form, "audience")?,
            scope: scope(form)?,
            requested,
        })
    }
}

/// A home access token and its type (RFC 8693 §2.1), which come together or not at all.
fn token<'f>(
    form: &'f Form<'_>,
    [name, type_name]: [&'static str; 2],
    most_bytes: usize,
) -> Result<Option<TokenRef<'f>>, RequestError> {
    let stated = form.get(type_name);
    let Some(token) = form.get(name) else {
        return if stated.is_some() { Err(RequestError::Missing(name)) } else { Ok(None) };
    };
    if token.len() > most_bytes {
        return Err(RequestError::TooLong(name));
    }
    // No early end, so that the compiler looks at many bytes at a time.
    if token.bytes().fold(0, |any, byte| any | u8::from(!byte.is_ascii_graphic())) != 0 {
        return Err(RequestError::Malformed(name));
    }
    match stated.ok_or(RequestError::Missing(type_name))? {
        token_type::ACCESS_TOKEN | token_type::JWT => Ok(Some(TokenRef::from(token))),
        _ => Err(RequestError::Malformed(type_name)),
    }
}

fn scope<'f>(form: &'f Form<'_>) -> Result<Option<ScopeText<'f>>, RequestError> {
    const MALFORMED: RequestError = RequestError::Malformed("scope");
    let Some(text) = bounded(form, "scope")? else { return Ok(None) };
    let scope = ScopeText::new(text).map_err(|_| MALFORMED)?;
    match scope.tokens().take(MAX_SCOPES + 1).count() {
        0 => Ok(None),
        // So many may be repetitions of few.
        many if many > MAX_SCOPES => scope.to_set().map(|_| Some(scope)).map_err(|_| MALFORMED),
        _ => Ok(Some(scope)),
    }
}

fn bounded<'f>(form: &'f Form<'_>, name: &'static str) -> Result<Option<&'f str>, RequestError> {
    match form.get(name) {
        Some(value) if value.len() > MAX_PARAMETER_BYTES => Err(RequestError::TooLong(name)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANT: &str = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange";
    const TYPE: &str = "subject_token_type=urn:ietf:params:oauth:token-type:jwt";

    fn refused(body: &str) -> Option<RequestError> {
        ExchangeRequest::read(&Form::parse(body.as_bytes()).unwrap(), 100).err()
    }

    #[test]
    fn every_malformed_parameter_is_named() {
        let long = "x".repeat(101);
        let longer = "x".repeat(5000);
        for (body, expected) in [
            (String::new(), RequestError::NoGrantType),
            ("grant_type=password".to_owned(), RequestError::UnsupportedGrantType),
            (GRANT.to_owned(), RequestError::Missing("subject_token")),
            (format!("{GRANT}&subject_token=a"), RequestError::Missing("subject_token_type")),
            (format!("{GRANT}&subject_token={long}&{TYPE}"), RequestError::TooLong("subject_token")),
            (format!("{GRANT}&subject_token=a%20b&{TYPE}"), RequestError::Malformed("subject_token")),
            (
                format!("{GRANT}&subject_token=a&subject_token_type=saml2"),
                RequestError::Malformed("subject_token_type"),
            ),
            (
                format!("{GRANT}&subject_token=a&{TYPE}&requested_token_type=x"),
                RequestError::Malformed("requested_token_type"),
            ),
            (format!("{GRANT}&subject_token=a&{TYPE}&scope=%22"), RequestError::Malformed("scope")),
            (format!("{GRANT}&subject_token=a&{TYPE}&resource={longer}"), RequestError::TooLong("resource")),
            (
                format!("{GRANT}&subject_token=a&{TYPE}&actor_token=a"),
                RequestError::Missing("actor_token_type"),
            ),
            (
                format!("{GRANT}&subject_token=a&{TYPE}&actor_{TYPE}").replace("actor_subject", "actor"),
                RequestError::Missing("actor_token"),
            ),
            (
                format!("{GRANT}&subject_token=a&{TYPE}&actor_token=a%0a&actor_token_type=x"),
                RequestError::Malformed("actor_token"),
            ),
        ] {
            assert_eq!(refused(&body), Some(expected), "{body}");
        }
    }

    #[test]
    fn unknown_parameters_are_ignored_and_an_empty_scope_is_the_default() {
        let body = format!("{GRANT}&subject_token=a&{TYPE}&scope=+&foo=bar&audience=x");
        let form = Form::parse(body.as_bytes()).unwrap();
        let request = ExchangeRequest::read(&form, 100).unwrap();
        assert!(request.scope.is_none());
        assert_eq!(request.audience, Some("x"));
        assert_eq!(request.requested, RequestedToken::AccessToken);
    }
}
