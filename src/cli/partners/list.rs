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
        sources.may_name_unknown_partners = true;
        let configuration = match config::load_tolerating_partners(&sources) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(unusable(problems, self.json)?),
        };
        let (problems, unusable_partners) = App::faults(&configuration, &Clock::system());
        if !problems.is_empty() {
            return Ok(unusable(problems, self.json)?);
        }
        let rows = rows(&configuration, &unusable_partners);
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

fn rows(configuration: &Configuration, unusable: &[UnusablePartner]) -> Vec<Row> {
    let is_unusable = |file: &&PartnerFile| unusable.iter().any(|partner| partner.id == file.id);
    let usable = configuration.partners.iter().filter(|file| !is_unusable(file)).map(Row::of);
    let unusable = unusable.iter().map(|partner| {
        let file = configuration.partners.iter().find(|file| file.id == partner.id);
        Row::of_unusable(partner, file)
    });
    let mut rows: Vec<Row> = usable.chain(unusable).collect();
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    rows
}

impl Row {
    fn of(file: &PartnerFile) -> Self {
        Self {
            id: file.id.clone(),
            state: if file.enabled { "enabled" } else { "disabled" },
            issuer: file.idm.issuer.clone(),
            preset: file.preset.clone().unwrap_or_default(),
            scopes: file.scopes.allowed.to_string(),
            file: file.path.display().to_string(),
            problems: Vec::new(),
        }
    }

    /// `file`: what could be read of it.
    fn of_unusable(partner: &UnusablePartner, file: Option<&PartnerFile>) -> Self {
        let problems = partner.problems.clone();
        if let Some(file) = file {
            return Self { state: "unusable", problems, ..Self::of(file) };
        }
        let file = problems.first().map(|problem| problem.file.clone()).unwrap_or_default();
        let (issuer, preset, scopes) = Default::default();
        Self { id: partner.id.clone(), state: "unusable", issuer, preset, scopes, file, problems }
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
