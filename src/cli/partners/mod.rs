//! `partners`: the files of partner domains.

mod schema;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum PartnersCommand {
    /// Print what a partner file may say, as JSON Schema; or a preset
    Schema(schema::SchemaOf),
}

impl PartnersCommand {
    /// Whether it looks at the broker's configuration.
    pub(super) fn reads_configuration(&self) -> bool {
        match self {
            Self::Schema(_) => false,
        }
    }

    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Schema(command) => command.run(),
        }
    }
}
