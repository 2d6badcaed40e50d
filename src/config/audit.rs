//! `[audit]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::file::NamedFile;

/// Where decisions are written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// One JSON object per line is appended; `None`: no audit log.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct AuditTable {
    file: Option<NamedFile>,
}

impl AuditTable {
    pub(super) fn resolve(self) -> Audit {
        Audit { file: self.file.map(|file| file.0) }
    }
}
