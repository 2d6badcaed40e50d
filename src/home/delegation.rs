//! What a token says about acting for somebody else (RFC 8693 §4). Passed over, `act` would be lost on the way and a token
//! issued that hides who acts; passed over, `may_act` would let anybody act where the home IdM named one.

use serde_json::{Value, json};

use super::User;
use crate::jose::{ClaimError, Claims};
use crate::secret::Token;

/// A validated actor token (RFC 8693 §2.1), and whose it is.
#[derive(Debug, Clone)]
pub struct ActorToken {
    /// Who acts.
    pub user: User,
    /// The token that proved it.
    pub token: Token,
}

/// Who acts, and who may.
#[derive(Debug, Clone, Copy)]
pub struct Delegation<'c> {
    act: Option<&'c Value>,
    may_act: Option<&'c Value>,
}

impl<'c> Delegation<'c> {
    /// What the claims of a token say.
    ///
    /// # Errors
    /// `act` or `may_act` is no JSON object (§4.1, §4.4).
    pub fn of(claims: &'c Claims) -> Result<Self, ClaimError> {
        let object = |name: &str| match claims.get(name) {
            Some(value) if !value.is_object() => {
                Err(ClaimError { name: name.to_owned(), expected: "an object" })
            }
            value => Ok(value),
        };
        Ok(Self { act: object("act")?, may_act: object("may_act")? })
    }

    /// Whether it says anything.
    pub const fn is_stated(&self) -> bool {
        self.act.is_some() || self.may_act.is_some()
    }

    /// Whether somebody acts for the user already (`act`).
    pub const fn is_acted_for(&self) -> bool {
        self.act.is_some()
    }

    /// The `sub` of who acts.
    pub fn acting(&self) -> Option<&'c str> {
        self.act?.get("sub")?.as_str()
    }

    /// Whether one of these may act for the user: true where `may_act` is not stated. One that names another issuer's
    /// party names none of ours.
    pub fn permits<'n>(&self, issuer: &str, mut names: impl Iterator<Item = &'n str>) -> bool {
        let Some(may_act) = self.may_act else { return true };
        let member = |name: &str| may_act.get(name).and_then(Value::as_str);
        if may_act.get("iss").is_some() && member("iss") != Some(issuer) {
            return false;
        }
        let named = [member("client_id"), member("sub")];
        names.any(|name| named.contains(&Some(name)))
    }

    /// Whether `may_act` names this one party: what some identity servers demand of a token that is to be exchanged.
    pub(super) fn names(&self, broker: &str) -> bool {
        let member = |name: &str| self.may_act?.get(name)?.as_str();
        member("client_id") == Some(broker) || member("sub") == Some(broker)
    }

    /// The `act` of a token that is issued on the strength of this one: `actor` in front, and whoever acted before inside
    /// (§4.1).
    pub(super) fn act_claim(&self, issuer: &str, actor: Option<&User>) -> Option<Value> {
        let Some(actor) = actor else { return self.act.cloned() };
        let mut act = json!({ "iss": issuer, "sub": actor.id });
        if let Some(before) = self.act {
            act["act"] = before.clone();
        }
        Some(act)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn may_act_permits_whom_it_names_and_nobody_of_another_issuer() {
        for (may_act, permitted) in [
            (r"{}", true),
            (r#"{"may_act": null}"#, true),
            (r#"{"may_act": {}}"#, false),
            (r#"{"may_act": {"sub": "broker"}}"#, true),
            (r#"{"may_act": {"client_id": "radio"}}"#, true),
            (r#"{"may_act": {"client_id": "other", "sub": "radio"}}"#, true),
            (r#"{"may_act": {"sub": ["radio"]}}"#, false),
            (r#"{"may_act": {"sub": "other"}}"#, false),
            (r#"{"may_act": {"iss": "home", "sub": "radio"}}"#, true),
            (r#"{"may_act": {"iss": "elsewhere", "sub": "radio"}}"#, false),
            (r#"{"may_act": {"iss": 7, "sub": "radio"}}"#, false),
        ] {
            let claims = claims(may_act);
            let delegation = Delegation::of(&claims).unwrap();
            assert_eq!(delegation.permits("home", ["broker", "radio"].into_iter()), permitted, "{may_act}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_and_never_passed_over() {
        for odd in [r#"{"act": "x"}"#, r#"{"act": true}"#, r#"{"may_act": []}"#, r#"{"may_act": 1}"#] {
            assert!(Delegation::of(&claims(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn who_acted_before_stands_inside_who_acts_now() {
        let delegated = claims(r#"{"act": {"sub": "first"}}"#);
        let plain = claims("{}");
        let actor = User { id: "second".to_owned(), claims: std::sync::Arc::new(plain.clone()) };
        let act = |claims: &Claims, actor| Delegation::of(claims).unwrap().act_claim("home", actor);
        assert_eq!(act(&plain, None), None);
        assert_eq!(act(&delegated, None), Some(json!({"sub": "first"})));
        assert_eq!(act(&plain, Some(&actor)), Some(json!({"iss": "home", "sub": "second"})));
        let chain = json!({"iss": "home", "sub": "second", "act": {"sub": "first"}});
        assert_eq!(act(&delegated, Some(&actor)), Some(chain));
    }
}
