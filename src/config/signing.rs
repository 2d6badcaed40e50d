//! `[signing]`: the broker's own keys.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{KeyFile, NamedFile};
use super::findings::Findings;
use super::registration::check_algorithm;
use super::schema::AlgorithmName;

/// One of the broker's keys. The first signs; all are published, so that a partner that still holds the old key set
/// verifies what the new key signs only after it has seen it.
#[derive(Debug, Clone)]
pub struct SigningKeyFile {
    /// PEM or JWK.
    pub key: KeyFile,
    /// One of the asymmetric algorithms; `None`: what suits the key.
    pub algorithm: Option<String>,
    /// Header `kid`; `None`: the key's thumbprint.
    pub kid: Option<String>,
}

/// The broker's own keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SigningTable {
    /// The first signs what is minted, and the broker's client assertions without a key of their own; all are
    /// published at `/jwks`. Empty: a key that lives as long as the process, with a warning.
    pub(super) keys: Vec<KeyTable>,
}

/// One of the broker's own keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table with key_file")]
pub(super) struct KeyTable {
    /// PEM or JWK; `mcx-token-broker keys generate` makes one.
    key_file: Option<NamedFile>,
    /// Signature algorithm; absent: what suits the key.
    #[schemars(with = "AlgorithmName")]
    algorithm: Option<String>,
    /// Key id; absent: the thumbprint of the key.
    kid: Option<String>,
}

impl SigningTable {
    pub(super) fn resolve(self, findings: &mut Findings<'_>) -> Vec<SigningKeyFile> {
        let keys = self.keys.into_iter().enumerate();
        keys.filter_map(|(number, key)| key.resolve(findings, &format!("signing.keys[{number}]"))).collect()
    }
}

impl KeyTable {
    fn resolve(self, findings: &mut Findings<'_>, at: &str) -> Option<SigningKeyFile> {
        let key_key = format!("{at}.key_file");
        findings.demand(self.key_file.is_some(), &key_key, "is missing", "name a PEM or JWK file");
        if let Some(algorithm) = &self.algorithm {
            check_algorithm(findings, &format!("{at}.algorithm"), algorithm);
        }
        let key = findings.key_file(&key_key, self.key_file.as_ref())?;
        Some(SigningKeyFile { key, algorithm: self.algorithm, kid: self.kid })
    }
}
