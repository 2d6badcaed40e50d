//! The home domain's users, and their home tokens.

use std::sync::atomic::{AtomicU64, Ordering};

use mcx_token_broker::sandbox::{Sandbox, User};
use serde_json::Map;

use crate::support::request::{CLIENT, SCOPE};

/// Users who ask again and again.
pub(crate) const HOT: usize = 30;

/// A user with a home token that outlives the run.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// `sub` of the user's tokens, at home and at the partners.
    pub(crate) subject: String,
    pub(crate) home_token: String,
}

/// All of them.
pub(crate) struct Users {
    home: Sandbox,
    hot: Vec<Caller>,
    cold: AtomicU64,
}

impl Users {
    pub(crate) fn new(home: Sandbox) -> Self {
        let hot = (0..HOT).map(|number| sign_in(&home, &format!("hot-{number}"))).collect();
        Self { home, hot, cold: AtomicU64::new(0) }
    }

    /// One of those who ask again and again.
    pub(crate) fn hot(&self, number: usize) -> &Caller {
        &self.hot[number]
    }

    /// One whom nobody has seen before.
    pub(crate) fn cold(&self) -> Caller {
        sign_in(&self.home, &format!("cold-{}", self.cold.fetch_add(1, Ordering::Relaxed)))
    }

    /// Whether the home IdM was asked to exchange this user's home token: then the whole request is with a replica.
    pub(crate) fn is_being_exchanged(&self, caller: &Caller) -> bool {
        let asked = self.home.recorded(mcx_token_broker::sandbox::Endpoint::Token);
        asked.iter().any(|request| request.get("subject_token") == Some(&caller.home_token))
    }
}

/// The account is gone afterwards and the token stays: the table of accounts would grow with every cold user.
fn sign_in(home: &Sandbox, name: &str) -> Caller {
    let user = User::new(name);
    let subject = user.subject.clone();
    home.add_user(user);
    let scope = format!("openid {SCOPE}");
    let token = home.issue_access_token(name, CLIENT, &scope, &Map::new()).expect("a home token");
    home.remove_user(name);
    Caller { subject, home_token: token.expose().to_owned() }
}
