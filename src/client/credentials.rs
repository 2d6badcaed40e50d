//! The credentials of one request, read but not judged (RFC 6749 §2.3, RFC 7521 §4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certificate::ClientCertificate;
use crate::oauth::form::{self, Form};
use crate::oauth::grant_type::CLIENT_ASSERTION_JWT_BEARER;
use crate::secret::{Secret, Token};

/// What a request presents.
#[derive(Debug)]
pub enum Credentials<'f> {
    /// `client_id` alone: a public client, or one that the connection's certificate proves (RFC 8705 §2.1).
    Id {
        /// The client id.
        id: &'f str,
        /// The connection's, if it has one. It counts for a client that is registered with `tls_client_auth`, and for no
        /// other: machines show theirs wherever they are asked.
        certificate: Option<&'f ClientCertificate>,
    },
    /// The Basic scheme. More than one reading, because clients that do not form-encode exist (RFC 6749 §2.3.1 says
    /// they must): the first is the specification's.
    Basic {
        /// Client id and secret, per reading.
        readings: Vec<(String, Secret)>,
    },
    /// `client_id` and `client_secret` in the body.
    Post {
        /// The client id.
        id: &'f str,
        /// The secret.
        secret: Secret,
    },
    /// `client_assertion` (RFC 7523 §2.2).
    Assertion {
        /// `client_id`, when it is in the body too.
        id: Option<&'f str>,
        /// The assertion.
        assertion: Token,
    },
}

/// Why the credentials cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// More than one method (RFC 6749 §2.3): which one counts would be a guess.
    #[error("more than one client authentication method in one request")]
    Several,
    /// None at all, not even a `client_id`.
    #[error("no client authentication and no client_id")]
    Missing,
    /// An `Authorization` header that is not Basic credentials.
    #[error("the Authorization header is not Basic credentials")]
    Header,
    /// `client_assertion_type` is missing or unknown.
    #[error("client_assertion_type is not that of RFC 7523")]
    AssertionType,
    /// `client_id` in the body is not the client of the other credentials.
    #[error("client_id in the body is another client's")]
    OtherId,
}

impl<'f> Credentials<'f> {
    /// Reads the `Authorization` header and the form. `certificate`: the connection's, which is no method of its own: it
    /// may come along with any.
    pub fn read(
        authorization: Option<&str>,
        form: &'f Form<'_>,
        certificate: Option<&'f ClientCertificate>,
    ) -> Result<Self, CredentialsError> {
        let id = form.get("client_id");
        let secret = form.get("client_secret");
        let assertion = form.get("client_assertion");
        let methods = [authorization.is_some(), secret.is_some(), assertion.is_some()];
        if methods.into_iter().filter(|present| *present).count() > 1 {
            return Err(CredentialsError::Several);
        }
        if let Some(header) = authorization {
            let mut readings = basic(header).ok_or(CredentialsError::Header)?;
            if let Some(id) = id {
                readings.retain(|(known, _)| known == id);
            }
            if readings.is_empty() {
                return Err(CredentialsError::OtherId);
            }
            return Ok(Self::Basic { readings });
        }
        if let Some(assertion) = assertion {
            if form.get("client_assertion_type") != Some(CLIENT_ASSERTION_JWT_BEARER) {
                return Err(CredentialsError::AssertionType);
            }
            return Ok(Self::Assertion { id, assertion: Token::from(assertion) });
        }
        let id = id.ok_or(CredentialsError::Missing)?;
        Ok(match secret {
            Some(secret) => Self::Post { id, secret: Secret::from(secret) },
            None => Self::Id { id, certificate },
        })
    }
}

fn basic(header: &str) -> Option<Vec<(String, Secret)>> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let form_decoded = form::decode(id.as_bytes()).ok().zip(form::decode(secret.as_bytes()).ok());
    let mut readings = Vec::with_capacity(2);
    if let Some((id, secret)) = form_decoded {
        readings.push((id.into_owned(), Secret::from(secret.into_owned())));
    }
    readings.push((id.to_owned(), Secret::from(secret)));
    Some(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(authorization: Option<&str>, body: &str) -> Option<CredentialsError> {
        Credentials::read(authorization, &Form::parse(body.as_bytes()).unwrap(), None).err()
    }

    fn readings(authorization: &str, body: &str) -> Vec<(String, String)> {
        let form = Form::parse(body.as_bytes()).unwrap();
        match Credentials::read(Some(authorization), &form, None) {
            Ok(Credentials::Basic { readings }) => {
                readings.into_iter().map(|(id, secret)| (id, secret.expose().to_owned())).collect()
            }
            other => panic!("not basic: {other:?}"),
        }
    }

    #[test]
    fn more_than_one_method_is_refused() {
        let basic = "Basic YTpi";
        for (header, body) in [
            (Some(basic), "client_secret=x"),
            (Some(basic), "client_assertion=x"),
            (None, "client_id=a&client_secret=x&client_assertion=y"),
        ] {
            assert_eq!(refused(header, body), Some(CredentialsError::Several), "{header:?} {body}");
        }
    }

    #[test]
    fn unreadable_credentials_are_named() {
        for (header, body, expected) in [
            (None, "", CredentialsError::Missing),
            (None, "client_secret=x", CredentialsError::Missing),
            (Some("Bearer x"), "", CredentialsError::Header),
            (Some("Basic"), "", CredentialsError::Header),
            (Some("Basic !"), "", CredentialsError::Header),
            (Some("Basic YQ=="), "", CredentialsError::Header),
            (Some("Basic /////w=="), "", CredentialsError::Header),
            (Some("Basic YTpi"), "client_id=other", CredentialsError::OtherId),
            (None, "client_assertion=x", CredentialsError::AssertionType),
        ] {
            assert_eq!(refused(header, body), Some(expected), "{header:?} {body}");
        }
    }

    #[test]
    fn basic_is_read_encoded_first_and_raw_second() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let owned = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
        let header = basic("a%20b:100%25+");
        assert_eq!(readings(&header, ""), [owned("a b", "100% "), owned("a%20b", "100%25+")]);
        let named = readings(&header, "client_id=a%2520b");
        assert_eq!(named.len(), 1, "client_id in the body says which reading is meant");
        assert_eq!(readings(&basic("a:100%"), "").len(), 1, "not decodable: the raw reading alone");
    }
}
