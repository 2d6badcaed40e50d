//! OAuth error responses of identity servers, and patterns that say what one means.
//!
//! The same mistake carries different codes at different products, so what a refusal means is data in a preset or
//! partner file, never a vendor's code path.

use std::fmt;

use serde_json::{Map, Value};

/// An OAuth error response (RFC 6749 §5.2). Its texts come from a stranger: they are cleaned when read, and the
/// description is matched but never passed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error`, reduced to the characters that codes are made of.
    pub error: String,
    description: String,
}

const MAX_ERROR: usize = 64;
const MAX_DESCRIPTION: usize = 512;

impl Refusal {
    /// Reads an error body; `None` when it is not one. Only `error` counts: a description of another type than text
    /// does not turn a refusal into something else.
    pub fn parse(status: u16, body: &[u8]) -> Option<Self> {
        let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let code = |character: &char| character.is_ascii_alphanumeric() || "_-.:".contains(*character);
        let error: String = text("error").chars().filter(code).take(MAX_ERROR).collect();
        let description: String = text("error_description").chars().take(MAX_DESCRIPTION).collect();
        (!error.is_empty()).then_some(Self { status, error, description })
    }

    /// A 401 whose body says nothing: RFC 6749 §5.2 gives that status one meaning only.
    pub fn bare_unauthorized() -> Self {
        Self { status: 401, error: "invalid_client".to_owned(), description: String::new() }
    }

    /// Whether it is about our registration there, by the standard's codes (RFC 6749 §5.2).
    pub fn is_about_client(&self) -> bool {
        matches!(self.error.as_str(), "invalid_client" | "unauthorized_client")
    }

    /// Whether its description has the fragment, compared without case.
    pub fn says(&self, fragment: &str) -> bool {
        self.description.to_lowercase().contains(&fragment.to_lowercase())
    }

    /// Whether one of `patterns` describes this refusal.
    pub fn is_any(&self, patterns: &[RefusalPattern]) -> bool {
        patterns.iter().any(|pattern| pattern.matches(self))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.error)
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Refusal({self})")
    }
}

/// `error`, or `error:fragment of its description`, compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalPattern {
    error: String,
    fragment: String,
}

impl RefusalPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Self {
        let (error, fragment) = text.split_once(':').unwrap_or((text, ""));
        Self { error: error.trim().to_owned(), fragment: fragment.trim().to_lowercase() }
    }

    /// Reads a list of patterns.
    pub fn parse_all(texts: &[String]) -> Vec<Self> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn matches(&self, refusal: &Refusal) -> bool {
        refusal.error.eq_ignore_ascii_case(&self.error)
            && (self.fragment.is_empty() || refusal.says(&self.fragment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_look_at_the_code_and_at_a_fragment_of_the_text() {
        let refusal =
            Refusal::parse(400, br#"{"error":"invalid_request","error_description":"Invalid token"}"#)
                .unwrap();
        for (pattern, expected) in [
            ("invalid_request", true),
            ("invalid_request:invalid TOKEN", true),
            ("invalid_request:audience", false),
            ("invalid_grant", false),
        ] {
            assert_eq!(refusal.is_any(&[RefusalPattern::parse(pattern)]), expected, "{pattern}");
        }
    }

    #[test]
    fn a_strangers_text_is_cleaned_and_not_shown() {
        let body = br#"{"error":"in\nvalid<b>","error_description":"token eyJhbGciOi for alice"}"#;
        let refusal = Refusal::parse(400, body).unwrap();
        assert_eq!(format!("{refusal} {refusal:?}"), "400 invalidb Refusal(400 invalidb)");
        for body in [&b"<html>"[..], b"{}", br#"{"error":7}"#, br#"{"error":"\n"}"#, b""] {
            assert_eq!(Refusal::parse(400, body), None);
        }
    }

    #[test]
    fn an_odd_description_does_not_hide_the_error() {
        for description in ["7", "null", "[]", "{}"] {
            let body = format!(r#"{{"error":"invalid_grant","error_description":{description}}}"#);
            assert!(Refusal::parse(400, body.as_bytes()).is_some(), "{description}");
        }
    }
}
