//! Scopes: a set of case-sensitive tokens (RFC 6749 §3.3, MCX scopes in TS 33.180 B.4.2.2).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// More scopes than any service defines: bounds what a hostile request or token makes us sort and compare.
pub const MAX_SCOPES: usize = 128;
/// Longer than any scope in the field, shorter than any signed token.
const SHOWN_BYTES: usize = 100;
/// How many scopes a text for people names.
const SHOWN_SCOPES: usize = 8;

/// A set of scope tokens. `Display` is the space-delimited form, in one fixed order, so that equal sets are equal text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeSet(BTreeSet<String>);

/// The `scope` of a request where it stands: its characters are checked, and nothing is copied, sorted or compared yet.
#[derive(Debug, Clone, Copy)]
pub struct ScopeText<'t>(&'t str);

impl<'t> ScopeText<'t> {
    /// Takes a text whose characters are those of a scope; how many there are is not counted.
    ///
    /// # Errors
    /// [`ScopeError::Character`].
    pub fn new(text: &'t str) -> Result<Self, ScopeError> {
        let allowed = |byte| byte == b' ' || is_scope_character(byte);
        if text.bytes().all(allowed) { Ok(Self(text)) } else { Err(ScopeError::Character) }
    }

    /// The scopes as they stand: in any order, perhaps repeated.
    pub fn tokens(self) -> impl Iterator<Item = &'t str> {
        self.0.split(' ').filter(|token| !token.is_empty())
    }

    /// The set of them.
    ///
    /// # Errors
    /// [`ScopeError::TooMany`].
    pub fn to_set(self) -> Result<ScopeSet, ScopeError> {
        self.0.parse()
    }
}

/// RFC 6749 §3.3 `scope-token`.
const fn is_scope_character(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

/// Why a scope value is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A character outside RFC 6749 §3.3 `scope-token`.
    #[error("scope has a character that RFC 6749 section 3.3 does not allow")]
    Character,
    /// More than 128 scopes.
    #[error("scope has more than {MAX_SCOPES} entries")]
    TooMany,
    /// JSON that is neither a string nor an array of strings.
    #[error("scope is neither a string nor an array of strings")]
    Form,
}

impl ScopeSet {
    /// The `scope` of a token or response in either form that the field uses: a space-delimited string (current text)
    /// or an array of strings (older releases of TS 33.180).
    pub fn from_json(value: &Value) -> Result<Self, ScopeError> {
        match value {
            Value::String(text) => text.parse(),
            Value::Array(items) => items.iter().map(|item| item.as_str().ok_or(ScopeError::Form)).try_fold(
                Self::default(),
                |mut set, item| {
                    set.insert(item?)?;
                    Ok(set)
                },
            ),
            _ => Err(ScopeError::Form),
        }
    }

    fn insert(&mut self, token: &str) -> Result<(), ScopeError> {
        if token.is_empty() || !token.bytes().all(is_scope_character) {
            return Err(ScopeError::Character);
        }
        self.0.insert(token.to_owned());
        if self.0.len() > MAX_SCOPES { Err(ScopeError::TooMany) } else { Ok(()) }
    }

    /// For logs and error texts: bounded, and a token that a client put into the wrong parameter, or a partner sent
    /// back as a scope, is not repeated there.
    pub fn summary(&self) -> String {
        let shown = self.0.iter().take(SHOWN_SCOPES).map(|scope| match scope.len() {
            0..=SHOWN_BYTES => scope.clone(),
            length => format!("({length} characters)"),
        });
        let mut words: Vec<String> = shown.collect();
        if let more @ 1.. = self.0.len().saturating_sub(SHOWN_SCOPES) {
            words.push(format!("and {more} more"));
        }
        words.join(" ")
    }

    /// The scopes in their fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is no scope at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `scope` is in the set.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether every scope here is in `other` too.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The same scopes under other names; `None` keeps a name.
    #[must_use]
    pub fn rename<'n>(&self, name: impl Fn(&str) -> Option<&'n str>) -> Self {
        Self(self.0.iter().map(|scope| name(scope).unwrap_or(scope).to_owned()).collect())
    }

    /// The scopes at these places of the fixed order.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(u32) -> bool) -> Self {
        Self(
            (0..)
                .zip(&self.0)
                .filter(|(position, _)| keep(*position))
                .map(|(_, scope)| scope.clone())
                .collect(),
        )
    }

    /// The scopes that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// The scopes that are here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }
}

impl FromStr for ScopeSet {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        text.split(' ').filter(|token| !token.is_empty()).try_fold(Self::default(), |mut set, token| {
            set.insert(token)?;
            Ok(set)
        })
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(scope)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn string_and_array_forms_are_the_same_set() {
        let text = ScopeSet::from_json(&json!("openid 3gpp:mcptt:ptt_server")).unwrap();
        let array = ScopeSet::from_json(&json!(["3gpp:mcptt:ptt_server", "openid"])).unwrap();
        assert_eq!(text, array);
        assert_eq!(text.to_string(), "3gpp:mcptt:ptt_server openid");
    }

    #[test]
    fn a_text_for_people_repeats_no_token_and_has_an_end() {
        let token = "x".repeat(800);
        let scope: ScopeSet = format!("openid {token}").parse().unwrap();
        assert_eq!(scope.summary(), "openid (800 characters)");
        let many = (0..100).map(|number| format!("s{number:02}")).collect::<Vec<_>>().join(" ");
        let many: ScopeSet = many.parse().unwrap();
        assert_eq!(many.summary(), "s00 s01 s02 s03 s04 s05 s06 s07 and 92 more");
    }

    #[test]
    fn malformed_scopes_are_refused() {
        for (value, expected) in [
            (json!(["a b"]), ScopeError::Character),
            (json!([""]), ScopeError::Character),
            (json!("tab\tbed"), ScopeError::Character),
            (json!("quo\"te"), ScopeError::Character),
            (json!("\u{e4}"), ScopeError::Character),
            (json!([1]), ScopeError::Form),
            (json!(7), ScopeError::Form),
            (json!(null), ScopeError::Form),
            (json!((0..200).map(|n| n.to_string()).collect::<Vec<_>>()), ScopeError::TooMany),
        ] {
            assert_eq!(ScopeSet::from_json(&value), Err(expected), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_and_parses_again(text in ".{0,80}") {
            if let Ok(set) = text.parse::<ScopeSet>() {
                prop_assert_eq!(set.to_string().parse::<ScopeSet>().unwrap(), set);
            }
        }
    }
}
