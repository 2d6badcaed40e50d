//! `[secrets]`: what is demanded of the files that hold them.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is demanded of the files that hold secrets.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct SecretsTable {
    /// Files with secrets and private keys, of partners too, may be readable by their group and by others: containers
    /// see what is mounted for them with mode 0444 or 0644, and nobody else is in there.
    pub(super) readable_by_others: bool,
}
