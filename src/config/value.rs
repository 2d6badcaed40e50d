//! Values with a form of their own: how each is read, and how its default is shown in the schema.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::LegScope;
use crate::secret::Secret;

/// Longest duration that any key takes: what is added to a clock must not overflow it.
const LONGEST: Duration = Duration::from_secs(20 * 366 * 24 * 3600);

/// The asymmetric signature algorithms (RFC 7518 §3.1, RFC 8037). `none` and the HMAC family are not here: with them
/// whoever knows a public key or a client secret signs tokens.
pub(super) const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Reads "30s", "5m", "1h 30m".
pub(super) struct Period;

impl Period {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let expected = "a duration such as \"30s\", \"5m\" or \"24h\"";
        let text = deserializer.deserialize_str(Text(expected))?;
        humantime::parse_duration(&text)
            .ok()
            .filter(|duration| *duration <= LONGEST)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Other("text"), &expected))
    }

    /// In the largest unit that leaves no rest.
    pub(super) fn serialize<S: Serializer>(period: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = period.as_millis();
        let (length, unit) = [(86_400_000, "days"), (3_600_000, "h"), (60_000, "m"), (1000, "s")]
            .into_iter()
            .find(|(length, _)| millis != 0 && millis.is_multiple_of(*length))
            .unwrap_or((1, "ms"));
        serializer.collect_str(&format_args!("{}{unit}", millis / length))
    }
}

/// A duration that may be left out.
pub(super) struct OptionalPeriod;

impl OptionalPeriod {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Period::deserialize(deserializer).map(Some)
    }
}

/// Reads "127.0.0.1:8080".
pub(super) struct Address;

impl Address {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        let expected = "an address and port such as \"127.0.0.1:8080\"";
        let text = deserializer.deserialize_str(Text(expected))?;
        text.parse().map_err(|_| D::Error::invalid_value(Unexpected::Other("text"), &expected))
    }

    pub(super) fn serialize<S: Serializer>(address: &SocketAddr, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(address)
    }
}

/// Reads a list of scopes, or one text with spaces between them.
pub(super) struct Scopes;

impl Scopes {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScopeSet, D::Error> {
        let expected =
            "a list of scopes (RFC 6749 section 3.3: no space, quote or backslash in one; at most 128)";
        ScopeSet::deserialize(deserializer)
            .map_err(|_| D::Error::invalid_value(Unexpected::Other("value"), &expected))
    }

    pub(super) fn serialize<S: Serializer>(scopes: &ScopeSet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(scopes.iter())
    }
}

/// Scopes that may be left out.
pub(super) struct OptionalScopes;

impl OptionalScopes {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ScopeSet>, D::Error> {
        Scopes::deserialize(deserializer).map(Some)
    }
}

/// Reads `"omit"`, `"granted"` or a list of scopes.
pub(super) struct LegScopeForm;

impl LegScopeForm {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LegScope, D::Error> {
        deserializer.deserialize_any(Self)
    }

    pub(super) fn serialize<S: Serializer>(scope: &LegScope, serializer: S) -> Result<S::Ok, S::Error> {
        match scope {
            LegScope::Omit => serializer.serialize_str("omit"),
            LegScope::Granted => serializer.serialize_str("granted"),
            LegScope::Fixed(scopes) => Scopes::serialize(scopes, serializer),
        }
    }
}

impl<'de> Visitor<'de> for LegScopeForm {
    type Value = LegScope;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"omit\", \"granted\" or a list of scopes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LegScope, E> {
        match text {
            "omit" => Ok(LegScope::Omit),
            "granted" => Ok(LegScope::Granted),
            _ => Err(E::invalid_value(Unexpected::Other("text"), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LegScope, A::Error> {
        let mut tokens = Vec::new();
        while let Some(token) = items.next_element::<String>()? {
            tokens.push(serde_json::Value::String(token));
        }
        ScopeSet::from_json(&serde_json::Value::Array(tokens))
            .map(LegScope::Fixed)
            .map_err(|_| A::Error::invalid_value(Unexpected::Seq, &self))
    }
}

/// Reads one text or a list of texts, each of which may hold a secret.
pub(super) struct OneOrMoreSecrets;

impl OneOrMoreSecrets {
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
        // Not `any`: that is what has the commas of a variable or a flag taken for a list.
        deserializer.deserialize_seq(Self)
    }
}

impl<'de> Visitor<'de> for OneOrMoreSecrets {
    type Value = Vec<Secret>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text in quotes or a list of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Vec<Secret>, E> {
        Ok(vec![Secret::from(text)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Secret>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

/// A text, with its own words for what was expected.
struct Text(&'static str);

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
}

/// `None` for the empty text, which in a layered file is how a key is unset again.
pub(super) fn stated(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Texts from literals.
pub(super) fn texts(literals: &[&str]) -> Vec<String> {
    literals.iter().map(|text| (*text).to_owned()).collect()
}
