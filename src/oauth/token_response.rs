//! Token responses: what identity servers answer (RFC 6749 §5.1, RFC 8693 §2.2.1, B.7.3, B.7.5), and what the broker answers.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::scope::ScopeSet;
use crate::json::push_text;
use crate::secret::Token;

/// An identity server's answer, read tolerantly: unknown members are ignored, `null` is absent. The checks of each leg
/// are made by whoever asked.
pub struct TokenResponse {
    /// Opaque here. Never empty.
    pub access_token: Token,
    /// As written by the server.
    pub token_type: Option<String>,
    /// RFC 8693 §2.2.1.
    pub issued_token_type: Option<String>,
    /// The lifetime as the server states it.
    pub expires_in: ExpiresIn,
    /// `None`: as requested (RFC 6749 §5.1). An empty string counts as absent: some servers answer it always.
    pub scope: Option<ScopeSet>,
    /// B.7.5: optional.
    pub refresh_token: Option<Token>,
    /// B.7.5: optional.
    pub id_token: Option<Token>,
}

/// `expires_in` in the forms that occur in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiresIn {
    /// Absent or `null`, though B.7.5 requires it.
    Missing,
    /// A positive number of seconds: an integer, a fraction (rounded down) or a string of digits.
    Lifetime(Duration),
    /// Zero or less: the token is dead on arrival.
    NotPositive,
}

/// Why a body is not a token response. The texts name members, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenResponseError {
    /// Not a JSON object, or a member twice.
    #[error("the body is not a JSON object with each member once")]
    NotJson,
    /// No `access_token`, or not a non-empty string.
    #[error("access_token is missing")]
    AccessToken,
    /// An `error` beside or instead of a token: which of the two is meant would be a guess.
    #[error("it carries an error member")]
    Error,
    /// A member of the wrong type.
    #[error("{0} has the wrong type")]
    WrongType(&'static str),
}

#[derive(Deserialize)]
struct Members {
    error: Option<Value>,
    access_token: Option<Value>,
    token_type: Option<Value>,
    issued_token_type: Option<Value>,
    expires_in: Option<Value>,
    scope: Option<Value>,
    refresh_token: Option<Value>,
    id_token: Option<Value>,
}

impl TokenResponse {
    /// Reads the body of a 200 response.
    pub fn parse(body: &[u8]) -> Result<Self, TokenResponseError> {
        let members: Members = serde_json::from_slice(body).map_err(|_| TokenResponseError::NotJson)?;
        if members.error.is_some_and(|error| error != Value::String(String::new())) {
            return Err(TokenResponseError::Error);
        }
        let access_token = match members.access_token {
            Some(Value::String(token)) if is_header_safe(&token) => Token::from(token),
            _ => return Err(TokenResponseError::AccessToken),
        };
        let scope = match members.scope {
            None => None,
            Some(value) => {
                let scope =
                    ScopeSet::from_json(&value).map_err(|_| TokenResponseError::WrongType("scope"))?;
                Some(scope).filter(|scope| !scope.is_empty())
            }
        };
        Ok(Self {
            access_token,
            token_type: text("token_type", members.token_type)?,
            issued_token_type: text("issued_token_type", members.issued_token_type)?,
            expires_in: ExpiresIn::from_json(members.expires_in.as_ref())?,
            scope,
            refresh_token: text("refresh_token", members.refresh_token)?.map(Token::from),
            id_token: text("id_token", members.id_token)?.map(Token::from),
        })
    }
}

/// Whether the token can be sent in an `Authorization` header at all: visible ASCII, not empty. An opaque token is otherwise untouched.
fn is_header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn text(name: &'static str, value: Option<Value>) -> Result<Option<String>, TokenResponseError> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(TokenResponseError::WrongType(name)),
    }
}

/// Longer than any policy of ours allows: cut down by whoever uses it, and it cannot overflow.
const CENTURY_SECONDS: f64 = 3_155_760_000.0;

impl ExpiresIn {
    fn from_json(value: Option<&Value>) -> Result<Self, TokenResponseError> {
        const WRONG: TokenResponseError = TokenResponseError::WrongType("expires_in");
        let seconds = match value {
            None => return Ok(Self::Missing),
            Some(Value::Number(number)) => number.as_f64().ok_or(WRONG)?,
            Some(Value::String(digits))
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                digits.parse::<f64>().map_err(|_| WRONG)?
            }
            Some(_) => return Err(WRONG),
        };
        if seconds < 1.0 {
            return Ok(Self::NotPositive);
        }
        Ok(Self::Lifetime(Duration::from_secs_f64(seconds.floor().min(CENTURY_SECONDS))))
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("issued_token_type", &self.issued_token_type)
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// What the broker answers (RFC 8693 §2.2.1 with the members of B.7.5).
#[derive(Clone, Copy)]
pub struct GrantedResponse<'a> {
    /// The partner's access token, or the security token when that was asked for.
    pub access_token: &'a str,
    /// RFC 8693 §2.2.1.
    pub issued_token_type: &'a str,
    /// `Bearer`, or `N_A` for a security token.
    pub token_type: &'static str,
    /// Seconds that are left.
    pub expires_in: u64,
    /// The granted scopes, always the string form.
    pub scope: Option<&'a str>,
    /// Only when the partner file says so.
    pub refresh_token: Option<&'a str>,
    /// Only when the partner file says so.
    pub id_token: Option<&'a str>,
}

impl GrantedResponse<'_> {
    /// The JSON object. Written by hand, because it is most of the work on a cached request; a text that needs an escape
    /// is left to serde.
    pub fn render(&self) -> Vec<u8> {
        let further = [self.scope, self.refresh_token, self.id_token];
        let texts = further.iter().flatten().chain([&self.access_token, &self.issued_token_type]);
        let mut json = Vec::with_capacity(192 + texts.map(|text| text.len()).sum::<usize>());
        push(&mut json, "{\"access_token\":", self.access_token);
        push(&mut json, ",\"issued_token_type\":", self.issued_token_type);
        push(&mut json, ",\"token_type\":", self.token_type);
        json.extend_from_slice(b",\"expires_in\":");
        json.extend_from_slice(itoa::Buffer::new().format(self.expires_in).as_bytes());
        let names = [",\"scope\":", ",\"refresh_token\":", ",\"id_token\":"];
        for (name, text) in names.into_iter().zip(further) {
            if let Some(text) = text {
                push(&mut json, name, text);
            }
        }
        json.push(b'}');
        json
    }
}

fn push(json: &mut Vec<u8>, name: &str, text: &str) {
    json.extend_from_slice(name.as_bytes());
    push_text(json, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn expires_in(value: &Value) -> Result<ExpiresIn, TokenResponseError> {
        let body = json!({"access_token": "a", "expires_in": value}).to_string();
        TokenResponse::parse(body.as_bytes()).map(|response| response.expires_in)
    }

    #[test]
    fn odd_values_of_expires_in() {
        let lifetime = |seconds| Ok(ExpiresIn::Lifetime(Duration::from_secs(seconds)));
        let wrong = || Err(TokenResponseError::WrongType("expires_in"));
        for (value, expected) in [
            (json!(3599), lifetime(3599)),
            (json!("3599"), lifetime(3599)),
            (json!(3599.9), lifetime(3599)),
            (json!(0.5), Ok(ExpiresIn::NotPositive)),
            (json!(0), Ok(ExpiresIn::NotPositive)),
            (json!("0"), Ok(ExpiresIn::NotPositive)),
            (json!(-1), Ok(ExpiresIn::NotPositive)),
            (json!(1e308), lifetime(3_155_760_000)),
            (json!(u64::MAX), lifetime(3_155_760_000)),
            (json!("9".repeat(400)), lifetime(3_155_760_000)),
            (json!(null), Ok(ExpiresIn::Missing)),
            (json!("-1"), wrong()),
            (json!("1h"), wrong()),
            (json!(""), wrong()),
            (json!(true), wrong()),
            (json!([3599]), wrong()),
        ] {
            assert_eq!(expires_in(&value), expected, "{value}");
        }
    }

    #[test]
    fn null_members_are_absent_and_unknown_ones_ignored() {
        let body =
            br#"{"access_token":"x","refresh_token":null,"error":null,"scope":"","expires_in":5,"tenant":{"a":[1]}}"#;
        let response = TokenResponse::parse(body).unwrap();
        assert!(response.refresh_token.is_none());
        assert!(response.scope.is_none());
    }

    #[test]
    fn what_is_no_token_response() {
        for (body, expected) in [
            (&b"<html>"[..], TokenResponseError::NotJson),
            (b"[]", TokenResponseError::NotJson),
            (b"", TokenResponseError::NotJson),
            (br#"{"access_token":"a","access_token":"b"}"#, TokenResponseError::NotJson),
            (b"{\"access_token\":\"\xff\"}", TokenResponseError::NotJson),
            (b"{}", TokenResponseError::AccessToken),
            (br#"{"access_token":""}"#, TokenResponseError::AccessToken),
            (br#"{"access_token":"a\nb"}"#, TokenResponseError::AccessToken),
            (br#"{"access_token":7}"#, TokenResponseError::AccessToken),
            (br#"{"access_token":"a","error":"invalid_grant"}"#, TokenResponseError::Error),
            (br#"{"access_token":"a","error":{"code":7}}"#, TokenResponseError::Error),
            (br#"{"access_token":"a","scope":7}"#, TokenResponseError::WrongType("scope")),
            (br#"{"access_token":"a","token_type":[]}"#, TokenResponseError::WrongType("token_type")),
        ] {
            assert_eq!(TokenResponse::parse(body).err(), Some(expected), "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_json_of_the_same_texts(access in ".{1,40}", scope in proptest::option::of("[!-~ ]{1,20}")) {
            let response = GrantedResponse {
                access_token: &access,
                issued_token_type: "a",
                token_type: "Bearer",
                expires_in: 7,
                scope: scope.as_deref(),
                refresh_token: None,
                id_token: None,
            };
            let mut expected = json!({
                "access_token": access, "issued_token_type": "a", "token_type": "Bearer", "expires_in": 7
            });
            if let Some(scope) = &scope {
                expected["scope"] = json!(scope);
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&response.render()).unwrap(), expected);
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = TokenResponse::parse(&body);
        }
    }
}
