//! The accounts of the IdM.

use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::locked;

/// An account. The default ones are `alice`, `bob` and `carol`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What `login_hint` names.
    pub name: String,
    /// `sub`.
    pub subject: String,
    /// MCX ids and whatever else goes into access and ID tokens (B.2.1, B.2.2).
    pub claims: Map<String, Value>,
    /// Whether logins and grants are refused.
    pub disabled: bool,
}

impl User {
    /// An account with the three MCX ids of TS 33.180 B.2.
    pub fn new(name: &str) -> Self {
        let id = |service: &str| json!(format!("sip:{name}.{service}@mcx.example"));
        let claims = [("mcptt_id", id("mcptt")), ("mcvideo_id", id("mcvideo")), ("mcdata_id", id("mcdata"))];
        Self {
            name: name.to_owned(),
            subject: format!("{name}@mcx.example"),
            claims: claims.into_iter().map(|(claim, value)| (claim.to_owned(), value)).collect(),
            disabled: false,
        }
    }

    /// The default accounts.
    pub fn defaults() -> Vec<Self> {
        ["alice", "bob", "carol"].map(Self::new).into()
    }
}

/// All accounts.
pub(super) struct Users(Mutex<Vec<User>>);

impl Users {
    pub(super) fn new(users: Vec<User>) -> Self {
        Self(Mutex::new(users))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<User> {
        locked(&self.0).iter().find(|user| user.name == name).cloned()
    }

    /// By `sub`, or by the value of the claim that links accounts here.
    pub(super) fn linked(&self, claim: &str, value: &str) -> Option<User> {
        locked(&self.0)
            .iter()
            .find(|user| match claim {
                "sub" => user.subject == value,
                other => user.claims.get(other).and_then(Value::as_str) == Some(value),
            })
            .cloned()
    }

    pub(super) fn names(&self) -> Vec<String> {
        locked(&self.0).iter().map(|user| user.name.clone()).collect()
    }

    pub(super) fn add(&self, user: User) {
        let mut users = locked(&self.0);
        users.retain(|known| known.name != user.name);
        users.push(user);
    }

    pub(super) fn remove(&self, name: &str) {
        locked(&self.0).retain(|user| user.name != name);
    }
}
