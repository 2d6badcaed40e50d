//! `demo`: home IdM, partner IdM with its group management service, and the broker, in one process.

mod curl;
mod federation;
mod report;
mod steps;
mod workspace;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{output, signal};
use crate::clock::Clock;
use crate::telemetry::logs;

use federation::Federation;
use report::Report;
use steps::Steps;

/// What the broker says about a configuration that is made for an hour is for production.
const LOG_FILTER: &str = "warn,mcx_token_broker::app=error";

const EXAMPLES: &str = "\
Everything is on loopback and in memory, and gone afterwards. Exits with 0 only if every step held.

Examples:
  mcx-token-broker demo                 the steps, then curl lines to try; Ctrl-C ends it
  mcx-token-broker demo --once --json   the steps, one JSON object per line
  mcx-token-broker demo --once --log mcx_token_broker=debug";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// Exit after the steps
    #[arg(long)]
    once: bool,
    /// One JSON object per step, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    /// Where the broker listens [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// What is logged, on standard error
    #[arg(long, value_name = "FILTER", default_value = LOG_FILTER)]
    log: String,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        logs::init(logs::LogFormat::Human, &self.log)?;
        let clock = Clock::system();
        let federation = Federation::start(self.listen, &clock).await?;
        let mut report = Report::new(self.json, clock.clone());
        report.about(&federation.introduction())?;
        let tokens = Steps::prepare(&federation).await?.run(&mut report).await?;
        if self.once {
            federation.stop().await?;
            return Ok(report.exit_code());
        }
        if let Some(tokens) = &tokens {
            let lines = curl::lines(&federation, tokens, &clock);
            if self.json { output::complain(&lines) } else { output::line(&lines)? }
        }
        signal::interrupted().await?;
        federation.stop().await?;
        Ok(report.exit_code())
    }
}
