//! The IdM's own signing keys, and their rotation.

use std::sync::RwLock;

use serde_json::{Map, Value};

use super::SandboxError;
use crate::jose::{Algorithm, SigningHeader, SigningKey, publish};

/// The key that signs, and those before it that are still published.
pub(super) struct Keys {
    algorithm: Algorithm,
    /// The first one signs.
    keys: RwLock<Vec<SigningKey>>,
}

/// Retired keys that stay published, for tokens that are still out.
const RETIRED_KEYS: usize = 2;

impl Keys {
    pub(super) fn new(first: SigningKey) -> Self {
        Self { algorithm: first.algorithm(), keys: RwLock::new(vec![first]) }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Signs with a new key from now on. The old one stays published, unless `forget`.
    pub(super) fn rotate(&self, forget: bool) -> Result<(), SandboxError> {
        let fresh = SigningKey::generate(self.algorithm)?;
        let mut keys = self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if forget {
            keys.clear();
        }
        keys.insert(0, fresh);
        keys.truncate(1 + RETIRED_KEYS);
        Ok(())
    }

    pub(super) fn public(&self) -> Value {
        publish(self.read().iter())
    }

    /// Signs with the current key. Empty `typ`: no such header.
    pub(super) fn sign(
        &self,
        typ: &str,
        kid: bool,
        claims: &Map<String, Value>,
    ) -> Result<String, SandboxError> {
        let header = SigningHeader { typ: Some(typ).filter(|typ| !typ.is_empty()), kid };
        let keys = self.read();
        let key = keys.first().ok_or(crate::jose::JoseError::Key("no signing key"))?;
        Ok(key.sign(&header, claims)?.expose().to_owned())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<SigningKey>> {
        self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
