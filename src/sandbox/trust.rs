//! The issuers whose tokens are accepted in the partner role (B.7.4), and their keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::locked;
use super::outbound::Outbound;
use crate::jose::{Algorithm, KeySet, UnverifiedToken};

/// A home IdM that this IdM trusts.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Its `iss`, compared character by character.
    pub issuer: String,
    /// Where its keys are.
    pub keys: TrustedKeys,
    /// The name that its assertions may give this server in `aud`: an alias (WSO2), or this server's client id there (UAA, SAP).
    pub alias: Option<String>,
    /// The scopes that may be asked for with its assertions; empty: all (Hydra).
    pub scopes: Vec<String>,
}

/// Where the keys of a trusted issuer come from.
#[derive(Debug, Clone)]
pub enum TrustedKeys {
    /// A JWK set URL. It is fetched on first use, and again when a signature does not verify.
    Url(String),
    /// The JWK set itself.
    Set(Value),
}

impl TrustedIssuer {
    /// An issuer whose keys are at `{issuer}/jwks`, as a sandbox publishes them.
    pub fn sandbox(issuer: &str) -> Self {
        let keys = TrustedKeys::Url(format!("{}/jwks", issuer.trim_end_matches('/')));
        Self { issuer: issuer.to_owned(), keys, alias: None, scopes: Vec::new() }
    }
}

/// All trusted issuers.
pub(super) struct Trust {
    issuers: Mutex<Vec<TrustedIssuer>>,
    fetched: Mutex<HashMap<String, Arc<KeySet>>>,
}

impl Trust {
    pub(super) fn new(issuers: Vec<TrustedIssuer>) -> Self {
        Self { issuers: Mutex::new(issuers), fetched: Mutex::default() }
    }

    pub(super) fn add(&self, issuer: TrustedIssuer) {
        let mut issuers = locked(&self.issuers);
        issuers.retain(|known| known.issuer != issuer.issuer);
        locked(&self.fetched).clear();
        issuers.push(issuer);
    }

    pub(super) fn find(&self, issuer: &str) -> Option<TrustedIssuer> {
        locked(&self.issuers).iter().find(|known| known.issuer == issuer).cloned()
    }

    /// Whether the signature is the issuer's. Fetched keys are fetched again once when it does not verify.
    pub(super) async fn verifies(
        &self,
        outbound: &Outbound,
        issuer: &TrustedIssuer,
        token: &UnverifiedToken,
    ) -> bool {
        let by = |keys: &KeySet| keys.verify(token, &Algorithm::ALL).is_ok();
        match &issuer.keys {
            TrustedKeys::Set(set) => KeySet::parse(set.to_string().as_bytes()).is_ok_and(|keys| by(&keys)),
            TrustedKeys::Url(url) => {
                let cached = locked(&self.fetched).get(url).cloned();
                if cached.is_some_and(|keys| by(&keys)) {
                    return true;
                }
                let Ok(keys) = outbound.key_set(url).await else { return false };
                let verified = by(&keys);
                locked(&self.fetched).insert(url.clone(), Arc::new(keys));
                verified
            }
        }
    }
}
