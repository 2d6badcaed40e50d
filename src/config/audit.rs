//! `[audit]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::file::NamedFile;

/// Where decisions are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// One JSON object per line is appended; `None`: no audit log.
    pub file: Option<PathBuf>,
    /// How users are written down.
    pub user: AuditedUser,
}

/// How a user is written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuditedUser {
    /// By a digest: the log says that it was the same one, and not who.
    #[default]
    Digest,
    /// By name too: the value of the first of `home.subject_claims` that the token has.
    Id,
}

/// Where decisions are written down.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct AuditTable {
    /// One JSON object per decision is appended; absent: no audit log.
    file: Option<NamedFile>,
    /// Whether `user_id`, the value of the first of `home.subject_claims` (and `actor_id`, of who acts), is written
    /// down beside the digest.
    user: AuditedUser,
}

impl AuditTable {
    pub(super) fn resolve(self) -> Audit {
        Audit { file: self.file.map(|file| file.0), user: self.user }
    }
}
