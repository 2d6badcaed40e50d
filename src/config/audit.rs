//! `[audit]`.

use std::path::PathBuf;

use serde::Deserialize;

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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditedUser {
    /// By a digest: the log says that it was the same one, and not who.
    #[default]
    Digest,
    /// By name too: the value of the first of `home.subject_claims` that the token has.
    Id,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct AuditTable {
    file: Option<NamedFile>,
    user: AuditedUser,
}

impl AuditTable {
    pub(super) fn resolve(self) -> Audit {
        Audit { file: self.file.map(|file| file.0), user: self.user }
    }
}
