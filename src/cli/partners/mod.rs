//! `partners`: the files of partner domains.

mod add;
mod list;
mod schema;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use super::sources::ConfigurationOptions;

#[derive(Debug, Subcommand)]
pub(super) enum PartnersCommand {
    /// Write the file of a new partner from what its identity server says of itself, and test it
    Add(Box<add::Add>),
    /// List the partners with their state
    List(list::List),
    /// Try the exchange with a partner step by step, and say what is wrong and where to mend it
    Test(test::Test),
    /// Print what a partner file may say, as JSON Schema; or a preset
    Schema(schema::SchemaOf),
}

impl PartnersCommand {
    /// Whether it looks at the broker's configuration.
    pub(super) fn reads_configuration(&self) -> bool {
        !matches!(self, Self::Schema(_))
    }

    pub(super) async fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(command) => command.run(options).await,
            Self::List(command) => command.run(options),
            Self::Test(command) => command.run(options).await,
            Self::Schema(command) => command.run(),
        }
    }
}
