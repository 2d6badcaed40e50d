//! `[log]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::findings::Findings;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// A filter of `tracing_subscriber::EnvFilter`, known to parse.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a terminal.
    #[default]
    Human,
    /// One JSON object per line, for a collector.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: "info".into() }
    }
}

impl Log {
    pub(super) fn check(&self, findings: &mut Findings<'_>) {
        findings.demand(
            EnvFilter::try_new(&self.filter).is_ok(),
            "log.filter",
            "is not a log filter",
            "write a level, or levels per module: \"info,mcx_token_broker::partner=debug\"",
        );
    }
}
