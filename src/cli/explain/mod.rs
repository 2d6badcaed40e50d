//! `explain`.

mod question;
mod report;

use std::io::{self, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use zeroize::Zeroizing;

use super::output;
use super::sources::{ConfigurationOptions, ListenOptions, unusable};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{self, Configuration};

use question::Question;
use report::Report;

const EXAMPLES: &str = "\
The home token comes on standard input: bare, or the JSON of `token login`. It is never printed; what its claims say is,
as far as it decides, the user's name included. Without --live nobody is called, and with it nothing is kept: the
partner's token is dropped.

Exit codes: 0 it would be granted, 1 it would be refused, 2 wrong command line, 78 wrong configuration.

Examples:
  mcx-token-broker explain --client mcptt_client --partner county-fire < home-token
  mcx-token-broker explain --client mcptt_client --partner county-fire --jwks-file home.jwks.json < home-token
  mcx-token-broker explain --client dispatch --resource https://idm.county-fire.example --live --json < home-token";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("target").required(true).multiple(true))]
pub(super) struct Explain {
    /// The client that asks; its credentials are taken for right
    #[arg(long, value_name = "ID")]
    client: String,
    /// The partner, by its id
    #[arg(long, value_name = "ID", group = "target", conflicts_with_all = ["resource", "audience"])]
    partner: Option<String>,
    /// The partner, as a client names it: `resource`
    #[arg(long, value_name = "URL", group = "target")]
    resource: Option<String>,
    /// The partner, as a client names it: `audience`
    #[arg(long, value_name = "NAME", group = "target")]
    audience: Option<String>,
    /// Space-delimited [default: the partner's]
    #[arg(long)]
    scope: Option<String>,
    /// Ask the home IdM and the partner IdM, as the broker would
    #[arg(long)]
    live: bool,
    /// The home IdM's key set, to check the signature with instead of asking for it
    #[arg(long, value_name = "FILE", conflicts_with = "live")]
    jwks_file: Option<PathBuf>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) async fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        let mut sources = options.sources(&ListenOptions::default());
        if let Some(path) = &self.jwks_file {
            let path = std::path::absolute(path)?.display().to_string();
            sources.overrides.push(("home.jwks_uri".to_owned(), String::new()));
            sources.overrides.push(("home.jwks_file".to_owned(), path));
        }
        let mut configuration = match config::load_tolerating_partners(&sources) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(unusable(problems, self.json)?),
        };
        // The running broker goes on without them, too.
        let unusable_partners = std::mem::take(&mut configuration.unusable_partners);
        for problem in unusable_partners.iter().flat_map(|partner| &partner.problems) {
            output::complain(&format!("warning: {problem}"));
        }
        let app = match App::wire(&configuration, &Clock::system()) {
            Ok(app) => app,
            Err(problems) => return Ok(unusable(problems, self.json)?),
        };
        let token = standard_input(&configuration)?;
        let question = Question {
            client: self.client,
            resource: self.resource,
            audience: self.audience.or(self.partner),
            scope: self.scope,
            live: self.live,
        };
        let told = question.ask(&app.exchange(), &configuration.server, &token).await;
        let report = Report::new(told, &question, &configuration);
        output::line(&if self.json { report.json().to_string() } else { report.lines() })?;
        Ok(if report.is_granted() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// No more than a request may hold, and a byte that shows that there was more.
fn standard_input(configuration: &Configuration) -> io::Result<Zeroizing<Vec<u8>>> {
    if io::stdin().is_terminal() {
        output::complain("Paste the home token, then press Enter and Ctrl-D.");
    }
    let most = configuration.server.max_body_bytes as u64 + 1;
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
