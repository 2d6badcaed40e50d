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

    /// Whether this client may act for the user: true where `may_act` is not stated. All that it states must be the
    /// client's, and one that names another issuer's party names none of ours.
    pub fn permits_client(&self, issuer: &str, id: &str) -> bool {
        self.permits(issuer, id, id, |sub, client_id| sub.is_some() || client_id.is_some())
    }

    /// Whether this user may act for the user, through this client: `sub` must be there, and no other user's.
    pub fn permits_actor(&self, issuer: &str, user: &str, client: &str) -> bool {
        self.permits(issuer, user, client, |sub, _| sub.is_some())
    }

    fn permits(
        &self,
        issuer: &str,
        sub: &str,
        client_id: &str,
        names: impl Fn(Option<&Value>, Option<&Value>) -> bool,
    ) -> bool {
        let Some(may_act) = self.may_act else { return true };
        let fits =
            |name: &str, ours: &str| may_act.get(name).is_none_or(|stated| stated.as_str() == Some(ours));
        names(may_act.get("sub"), may_act.get("client_id"))
            && fits("iss", issuer)
            && fits("sub", sub)
            && fits("client_id", client_id)
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

/// Who acts, or may, is not passed over because the answer alone says it.
pub(super) fn check_agreement(token: &Claims, answer: &Claims) -> Result<(), ClaimError> {
    let differs = |name: &&str| answer.get(name).is_some_and(|stated| token.get(name) != Some(stated));
    match ["act", "may_act"].into_iter().find(differs) {
        Some(name) => Err(ClaimError { name: name.to_owned(), expected: "what the token itself says" }),
        None => Ok(()),
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
            (r#"{"may_act": {"client_id": "radio"}}"#, true),
            (r#"{"may_act": {"client_id": "radio", "sub": "radio"}}"#, true),
            (r#"{"may_act": {"client_id": "other", "sub": "radio"}}"#, false),
            (r#"{"may_act": {"client_id": "radio", "sub": "carol"}}"#, false),
            (r#"{"may_act": {"sub": ["radio"]}}"#, false),
            (r#"{"may_act": {"sub": "other"}}"#, false),
            (r#"{"may_act": {"iss": "home", "sub": "radio"}}"#, true),
            (r#"{"may_act": {"iss": "elsewhere", "sub": "radio"}}"#, false),
            (r#"{"may_act": {"iss": 7, "sub": "radio"}}"#, false),
        ] {
            let claims = claims(may_act);
            let delegation = Delegation::of(&claims).unwrap();
            assert_eq!(delegation.permits_client("home", "radio"), permitted, "{may_act}");
        }
        for (may_act, permitted) in [
            ("{}", true),
            (r#"{"may_act": {"sub": "carol"}}"#, true),
            (r#"{"may_act": {"sub": "carol", "client_id": "radio"}}"#, true),
            (r#"{"may_act": {"sub": "carol", "client_id": "other"}}"#, false),
            (r#"{"may_act": {"client_id": "carol"}}"#, false),
            (r#"{"may_act": {"client_id": "radio"}}"#, false),
            (r#"{"may_act": {"sub": "radio"}}"#, false),
        ] {
            let claims = claims(may_act);
            let delegation = Delegation::of(&claims).unwrap();
            assert_eq!(delegation.permits_actor("home", "carol", "radio"), permitted, "{may_act}");
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
