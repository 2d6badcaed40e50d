//! What the token endpoint answers when it grants (B.4.2.5, B.5.3, B.7.3, B.7.5).

use serde_json::{Map, Value, json};

use super::behaviour::{Format, IdTokenAnswer, ResponseRules, ScopeAnswer};
use super::parameters::Parameters;
use super::tokens::{Scopes, spaced};

/// What was granted.
pub(super) struct Granted<'g> {
    pub(super) access_token: String,
    /// Of an RFC 8693 answer.
    pub(super) issued_token_type: Option<&'g str>,
    pub(super) scope: &'g Scopes,
    /// As the request had it.
    pub(super) requested_scope: Option<&'g str>,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: Option<String>,
}

impl ResponseRules {
    pub(super) fn render(&self, granted: &Granted<'_>) -> Map<String, Value> {
        let mut body = self.members.clone();
        let mut put = |name: &str, value: Value| {
            if self.null_members || !value.is_null() {
                body.insert(name.to_owned(), value);
            }
        };
        put("access_token", json!(granted.access_token));
        put("issued_token_type", json!(granted.issued_token_type.filter(|_| self.issued_token_type)));
        let own = granted.issued_token_type.and_then(|issued| self.token_types.get(issued));
        put("token_type", json!(own.unwrap_or(&self.token_type)));
        put("expires_in", json!(self.lifetime));
        put("refresh_token", json!(granted.refresh_token));
        put("id_token", json!(granted.id_token));
        let scope = spaced(granted.scope);
        let requested: Scopes =
            granted.requested_scope.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        put(
            "scope",
            match self.scope {
                ScopeAnswer::Missing => Value::Null,
                ScopeAnswer::IfDifferent if requested == *granted.scope => Value::Null,
                ScopeAnswer::Granted if scope.is_empty() => Value::Null,
                _ => json!(scope),
            },
        );
        body
    }

    /// JWT or opaque, as the request can turn it.
    pub(super) fn format_for(&self, parameters: &Parameters) -> Format {
        match &self.jwt_parameter {
            Some((name, value)) if parameters.get(name) == Some(value.as_str()) => Format::Jwt,
            _ => self.format,
        }
    }

    /// Whether an ID token comes along.
    pub(super) fn wants_id_token(&self, scope: &Scopes) -> bool {
        match self.id_token {
            IdTokenAnswer::Never => false,
            IdTokenAnswer::WithOpenid => scope.contains("openid"),
            IdTokenAnswer::Always => true,
        }
    }
}
