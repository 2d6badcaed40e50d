//! `check`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::output;
use super::sources::{ConfigurationOptions, ListenOptions};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Configuration, Problem, Sources};

const EXAMPLES: &str = "\
Each problem is one line: file: key: what is wrong: what to write.

Examples:
  mcx-token-broker check
  mcx-token-broker check --config broker.toml --partners partners --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    listen: ListenOptions,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Report {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Enabled partners and clients, when the files could be read at all.
    counts: Option<(usize, usize)>,
}

impl Check {
    pub(super) fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        let report = Report::on(&options.sources(&self.listen));
        if self.json {
            output::line(&report.json().to_string())?;
        } else {
            output::line(&report.lines())?;
        }
        Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Report {
    fn on(sources: &Sources) -> Self {
        match config::load(sources) {
            Ok(configuration) => Self {
                problems: App::wire(&configuration, &Clock::system()).err().unwrap_or_default(),
                counts: Some(counts(&configuration)),
                warnings: configuration.warnings,
            },
            Err(problems) => {
                Self { problems: problems.into_iter().collect(), warnings: Vec::new(), counts: None }
            }
        }
    }

    fn lines(&self) -> String {
        let problems = self.problems.iter().map(|problem| format!("{problem}\n"));
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        problems.chain(warnings).chain([self.summary()]).collect()
    }

    fn summary(&self) -> String {
        let verdict = match self.problems.len() {
            0 => "OK".to_owned(),
            number => counted(number, "problem"),
        };
        match self.counts {
            Some((partners, clients)) => {
                format!("{}, {}: {verdict}", counted(partners, "partner"), counted(clients, "client"))
            }
            None => verdict,
        }
    }

    fn json(&self) -> Value {
        json!({
            "ok": self.problems.is_empty(),
            "partners": self.counts.map(|(partners, _)| partners),
            "clients": self.counts.map(|(_, clients)| clients),
            "problems": self.problems,
            "warnings": self.warnings,
        })
    }
}

fn counts(configuration: &Configuration) -> (usize, usize) {
    let partners = configuration.partners.iter().filter(|partner| partner.enabled).count();
    (partners, configuration.clients.len())
}

fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
