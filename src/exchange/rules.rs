//! Rules of the operator about users: whoever asks through these clients, of these partners, for these scopes must have
//! these claims. They only take away: without the client's registration nobody is let through by one.

use std::sync::Arc;

use serde_json::Value;

use super::ExchangeError;
use super::policy::Denied;
use crate::client::{Client, Names};
use crate::home::SubjectTokenError;
use crate::jose::Claims;
use crate::oauth::scope::ScopeSet;
use crate::partner::{Partner, ScopeMask};

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What the audit log and the client call it.
    pub name: String,
    /// Whose requests it concerns.
    pub clients: Names,
    /// For tokens of which partners.
    pub partners: Names,
    /// Only if one of these is asked for; `None`: whatever is.
    pub scopes: Option<ScopeSet>,
    /// What the home token must say, all of it.
    pub require: Vec<RequiredClaim>,
}

/// One claim that a home token must have.
#[derive(Debug, Clone)]
pub struct RequiredClaim {
    /// Its name, or a JSON pointer (RFC 6901) to a member inside one, such as `/realm_access/roles`.
    pub claim: String,
    /// Its value, or an element of it, is one of these.
    pub one_of: Names,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// In any order: each that concerns a request must be fulfilled.
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Compares a request with the rules. `scope`: `None` for a token that is good for any. Its claims are read again only if one concerns it, which most do not.
    ///
    /// # Errors
    /// [`Denied::Rule`], of the first one that is not fulfilled.
    pub fn check(
        &self,
        client: &Client,
        partner: &Partner,
        scope: Option<ScopeMask>,
        claims: impl FnOnce() -> Result<Arc<Claims>, SubjectTokenError>,
    ) -> Result<(), ExchangeError> {
        let mut concerned = self.concerned(client, partner, scope).peekable();
        if concerned.peek().is_none() {
            return Ok(());
        }
        let claims = claims()?;
        concerned.try_for_each(|rule| rule.check(&claims)).map_err(Into::into)
    }

    /// Those that concern a request.
    pub fn concerned<'r>(
        &'r self,
        client: &'r Client,
        partner: &'r Partner,
        scope: Option<ScopeMask>,
    ) -> impl Iterator<Item = &'r Rule> {
        self.0.iter().filter(move |rule| rule.concerns(client, partner, scope))
    }
}

impl Rule {
    fn concerns(&self, client: &Client, partner: &Partner, scope: Option<ScopeMask>) -> bool {
        self.clients.contain(&client.id)
            && self.partners.contain(&partner.id)
            && self.scopes.as_ref().zip(scope).is_none_or(|(scopes, scope)| {
                let asked = partner.scopes.set(scope);
                asked.difference(scopes) != asked
            })
    }

    /// Whether the home token of these claims has all that it requires.
    ///
    /// # Errors
    /// [`Denied::Rule`].
    pub fn check(&self, claims: &Claims) -> Result<(), Denied> {
        if self.require.iter().all(|required| required.is_in(claims)) {
            return Ok(());
        }
        Err(Denied::Rule { name: self.name.clone(), for_scope: self.scopes.is_some() })
    }
}

impl RequiredClaim {
    fn is_in(&self, claims: &Claims) -> bool {
        let Some(value) = self.value(claims) else { return false };
        match value {
            Value::Array(items) => items.iter().any(|item| self.accepts(item)),
            // The one claim that is a list in one string (RFC 6749 §3.3).
            Value::String(scope) if self.claim == "scope" => {
                scope.split(' ').any(|token| !token.is_empty() && self.one_of.contain(token))
            }
            value => self.accepts(value),
        }
    }

    /// What the token has there.
    pub(super) fn value<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let Some(pointer) = self.claim.strip_prefix('/') else { return claims.get(&self.claim) };
        let (first, rest) =
            pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
        let member = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        match rest {
            Some(rest) => member.pointer(&format!("/{rest}")),
            None => Some(member),
        }
    }

    /// A list of lists or an object is not compared: what it would be equal to is anybody's guess.
    fn accepts(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => !text.is_empty() && self.one_of.contain(text),
            Value::Number(number) => self.one_of.contain(&number.to_string()),
            Value::Bool(flag) => self.one_of.contain(if *flag { "true" } else { "false" }),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fulfilled(claim: &str, one_of: &[&str], claims: &str) -> bool {
        let one_of = if one_of == ["*"] { Names::All } else { Names::only(one_of.iter().copied()) };
        let claims = Claims::from_json(claims.as_bytes()).unwrap();
        RequiredClaim { claim: claim.to_owned(), one_of }.is_in(&claims)
    }

    #[test]
    fn a_claim_has_one_of_the_values_in_whatever_form_it_has_them() {
        let roles: &[&str] = &["dispatcher", "commander"];
        for (claim, one_of, claims, expected) in [
            ("role", roles, r#"{"role": "dispatcher"}"#, true),
            ("role", roles, r#"{"role": "Dispatcher"}"#, false),
            ("role", roles, r#"{"role": "dispatcher commander"}"#, false),
            ("role", roles, r#"{"role": ["guest", "commander"]}"#, true),
            ("role", roles, r#"{"role": [["commander"]]}"#, false),
            ("role", roles, r#"{"role": {"commander": true}}"#, false),
            ("role", roles, r#"{"role": null}"#, false),
            ("role", roles, r#"{"rôle": "commander"}"#, false),
            ("role", &["*"], r#"{"role": "guest"}"#, true),
            ("role", &["*"], r#"{"role": ""}"#, false),
            ("role", &["*"], r#"{"role": []}"#, false),
            ("role", &["*"], r#"{"role": {}}"#, false),
            ("role", &["*"], "{}", false),
            ("level", &["3"], r#"{"level": 3}"#, true),
            ("level", &["3"], r#"{"level": 3.5}"#, false),
            ("on_duty", &["true"], r#"{"on_duty": true}"#, true),
            ("on_duty", &["true"], r#"{"on_duty": false}"#, false),
            ("scope", &["mcx"], r#"{"scope": "openid mcx"}"#, true),
            ("scope", &["mcx"], r#"{"scope": ["openid", "mcx"]}"#, true),
            ("scope", &["mcx"], r#"{"scope": "mcxx"}"#, false),
            ("scope", &["*"], r#"{"scope": " "}"#, false),
            ("/realm_access/roles", roles, r#"{"realm_access": {"roles": ["commander"]}}"#, true),
            ("/realm_access/roles", roles, r#"{"realm_access": {"roles": []}}"#, false),
            ("/realm_access/roles", roles, r#"{"realm_access": "commander"}"#, false),
            ("/role", roles, r#"{"role": "commander"}"#, true),
            (
                "/https:~1~1agency.example~1role",
                roles,
                r#"{"https://agency.example/role": "commander"}"#,
                true,
            ),
            ("https://agency.example/role", roles, r#"{"https://agency.example/role": "commander"}"#, true),
        ] {
            assert_eq!(fulfilled(claim, one_of, claims), expected, "{claim} {claims}");
        }
    }
}
