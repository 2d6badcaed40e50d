//! Claims of a JWT (RFC 7519 §4), read on types of our own.

use std::fmt;

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// 9999-12-31: a NumericDate beyond it is milliseconds or nonsense, never a date that somebody meant.
const LAST_DATE: i64 = 253_402_300_799;
/// More audiences than any issuer writes.
const MAX_AUDIENCES: usize = 64;

/// The claims of one token: a JSON object with every member once. `Debug` shows names only: claims are personal data.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// A claim of the wrong form. Names the claim, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("claim {name} is not {expected}")]
pub struct ClaimError {
    /// Which claim.
    pub name: String,
    /// What it should have been.
    pub expected: &'static str,
}

impl Claims {
    /// Parses a payload.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        super::strict_json::object(payload).map(Self)
    }

    /// Claims from another source that speaks the same vocabulary: an introspection response (RFC 7662 §2.2), with
    /// each member once.
    pub fn from_json(body: &[u8]) -> Result<Self, ClaimError> {
        Self::parse(body).map_err(|_| ClaimError {
            name: "(all)".to_owned(),
            expected: "a JSON object with each member once",
        })
    }

    /// The raw value of a claim; `null` counts as absent.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text claim that is not empty.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ClaimError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(error(name, "a non-empty string")),
        }
    }

    /// A NumericDate (RFC 7519 §2): whole seconds only. A string, a fraction, or milliseconds is refused rather than
    /// guessed at: a wrong guess makes a token live for millennia.
    pub fn numeric_date(&self, name: &str) -> Result<Option<Timestamp>, ClaimError> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|seconds| (0..=LAST_DATE).contains(seconds))
                .map(|seconds| Some(Timestamp::from_unix_seconds(seconds)))
                .ok_or_else(|| error(name, "a date in whole seconds")),
        }
    }

    /// `aud` as a list (RFC 7519 §4.1.3); empty when absent.
    pub fn audience(&self) -> Result<Vec<&str>, ClaimError> {
        const EXPECTED: &str = "a string or a list of strings";
        match self.get("aud") {
            None => Ok(Vec::new()),
            Some(Value::String(audience)) => Ok(vec![audience]),
            Some(Value::Array(items)) if !items.is_empty() && items.len() <= MAX_AUDIENCES => {
                items.iter().map(|item| item.as_str().ok_or_else(|| error("aud", EXPECTED))).collect()
            }
            Some(_) => Err(error("aud", EXPECTED)),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

fn error(name: &str, expected: &'static str) -> ClaimError {
    ClaimError { name: name.to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn odd_dates_are_refused_not_guessed() {
        for value in [
            r#""1700000000""#,
            "1.5",
            "1700000000.0",
            "1e308",
            "1e19",
            "-1",
            "1700000000000",
            "true",
            "[1]",
            "18446744073709551615",
        ] {
            assert!(claims(&format!(r#"{{"exp":{value}}}"#)).numeric_date("exp").is_err(), "{value}");
        }
        assert_eq!(claims(r#"{"exp":null}"#).numeric_date("exp"), Ok(None));
        assert_eq!(
            claims(r#"{"exp":1453506121}"#).numeric_date("exp"),
            Ok(Some(Timestamp::from_unix_seconds(1_453_506_121)))
        );
    }

    #[test]
    fn audience_is_a_string_or_a_list_of_strings() {
        assert_eq!(claims(r#"{"aud":"a"}"#).audience(), Ok(vec!["a"]));
        assert_eq!(claims(r#"{"aud":["a","b"]}"#).audience(), Ok(vec!["a", "b"]));
        assert_eq!(claims("{}").audience(), Ok(vec![]));
        for value in ["[]", "[1]", "7", "{}", r#"["a",null]"#] {
            assert!(claims(&format!(r#"{{"aud":{value}}}"#)).audience().is_err(), "{value}");
        }
    }

    #[test]
    fn debug_shows_names_only() {
        let shown = format!("{:?}", claims(r#"{"sub":"alice"}"#));
        assert!(shown.contains("sub") && !shown.contains("alice"), "{shown}");
    }
}
