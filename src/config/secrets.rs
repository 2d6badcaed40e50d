//! `[secrets]`: what is demanded of the files that hold them.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SecretsTable {
    /// Containers see the secrets that are mounted for them with mode 0444 or 0644, and nobody else is in there.
    pub(super) readable_by_others: bool,
}
