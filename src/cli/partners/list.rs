//! `partners list`.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::cli::output;
use crate::cli::sources::{ConfigurationOptions, ListenOptions, unusable};
use crate::clock::Clock;
use crate::config::{self, Configuration, PartnerFile, Problem, UnusablePartner};

const EXAMPLES: &str = "\
Reads the files and calls nobody. How partners do in a running broker, its status page says (and /api/partners);
whether the exchange with one works, `partners test`.

Examples:
  mcx-token-broker partners list
  mcx-token-broker partners list --json

Exit codes: 0 every file can be used, 1 one cannot, 78 the broker's own files are wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct List {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// One partner as its file says.
struct Row {
    id: String,
    state: &'static str,
    issuer: String,
    preset: String,
    scopes: String,
    file: String,
    problems: Vec<Problem>,
}

impl List {
    pub(in crate::cli) fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        let mut sources = options.sources(&ListenOptions::default());
        sources.awaits_partners = true;
        let configuration = match config::load_again(&sources) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(unusable(problems, self.json)?),
        };
        let rows = rows(&configuration);
        let are_usable = rows.iter().all(|row| row.problems.is_empty());
        if self.json {
            let partners: Vec<Value> = rows.iter().map(Row::json).collect();
            output::line(&json!({ "ok": are_usable, "partners": partners }).to_string())?;
        } else {
            output::line(&table(&rows, &configuration))?;
        }
        Ok(if are_usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn rows(configuration: &Configuration) -> Vec<Row> {
    // Keys and certificates that are there and cannot be used come to light when they are put to use.
    let wired = App::wire(configuration, &Clock::system()).err().unwrap_or_default();
    let of_file = |file: &PartnerFile| {
        let path = file.path.display().to_string();
        wired.iter().filter(|problem| problem.file.starts_with(&path)).cloned().collect()
    };
    let usable = configuration.partners.iter().map(|file| Row::of(file, of_file(file)));
    let unusable = configuration.unusable_partners.iter().map(Row::of_unusable);
    let mut rows: Vec<Row> = usable.chain(unusable).collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows
}

impl Row {
    fn of(file: &PartnerFile, problems: Vec<Problem>) -> Self {
        let state = match (file.enabled, problems.is_empty()) {
            (false, _) => "disabled",
            (true, true) => "enabled",
            (true, false) => "unusable",
        };
        Self {
            id: file.id.clone(),
            state,
            issuer: file.idm.issuer.clone(),
            preset: file.preset.clone().unwrap_or_default(),
            scopes: file.scopes.allowed.to_string(),
            file: file.path.display().to_string(),
            problems,
        }
    }

    fn of_unusable(partner: &UnusablePartner) -> Self {
        let file = partner.problems.first().map(|problem| problem.file.clone()).unwrap_or_default();
        let (issuer, preset, scopes) = Default::default();
        Self {
            id: partner.id.clone(),
            state: "unusable",
            issuer,
            preset,
            scopes,
            file,
            problems: partner.problems.clone(),
        }
    }

    fn cells(&self) -> [&str; 5] {
        [&self.id, self.state, &self.preset, &self.issuer, &self.scopes]
            .map(|cell| if cell.is_empty() { "-" } else { cell })
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "state": self.state,
            "issuer": self.issuer,
            "preset": self.preset,
            "scopes": self.scopes,
            "file": self.file,
            "problems": self.problems,
        })
    }
}

fn table(rows: &[Row], configuration: &Configuration) -> String {
    if rows.is_empty() {
        let directory = configuration.partners_directory.display();
        return format!("No partner in {directory}. `partners add ISSUER` writes a file.");
    }
    let head = ["PARTNER", "STATE", "PRESET", "ISSUER", "SCOPES"];
    let cells: Vec<[&str; 5]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |[id, state, preset, issuer, scopes]: &[&str; 5]| {
        let [a, b, c, d] = widths;
        format!("{id:<a$}  {state:<b$}  {preset:<c$}  {issuer:<d$}  {scopes}")
    };
    let problems = rows.iter().flat_map(|row| &row.problems).map(ToString::to_string);
    cells.iter().map(line).chain(problems).collect::<Vec<_>>().join("\n")
}
