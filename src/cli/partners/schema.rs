//! `partners schema`.

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::cli::output;
use crate::config::{self, schema};

const EXAMPLES: &str = "\
An editor that speaks TOML (Even Better TOML, taplo) completes and explains the keys of a file whose first line is
  #:schema ./partner.json

Examples:
  mcx-token-broker partners schema > partners/partner.json
  mcx-token-broker partners schema --preset keycloak";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct SchemaOf {
    /// Whose schema
    #[arg(value_enum, default_value_t = Kind::Partner)]
    kind: Kind,
    /// Print this preset instead: what is known of a product, as TOML
    #[arg(long, value_name = "NAME", conflicts_with = "kind", value_parser = PossibleValuesParser::new(config::presets().map(|(name, _)| name)))]
    preset: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// A partner file
    Partner,
    /// The broker file
    Broker,
    /// A preset
    Preset,
}

impl SchemaOf {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.preset.as_deref().and_then(preset) {
            Some(text) => output::line(text.trim_end())?,
            None => output::line(&format!("{:#}", self.kind.schema().to_value()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Kind {
    fn schema(self) -> schemars::Schema {
        match self {
            Self::Partner => schema::partner(),
            Self::Broker => schema::broker(),
            Self::Preset => schema::preset(),
        }
    }
}

fn preset(name: &str) -> Option<&'static str> {
    config::presets().find(|(known, _)| *known == name).map(|(_, text)| text)
}
