//! `serve`.

use std::io;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::signal;
use super::sources::{ConfigurationOptions, ListenOptions, unusable};
use crate::app::App;
use crate::clock::Clock;
use crate::config;
use crate::server::ServerError;
use crate::telemetry::logs;

const EXAMPLES: &str = "\
Examples:
  mcx-token-broker serve --config broker.toml --partners partners
  mcx-token-broker serve --listen 0.0.0.0:8443 --set log.format=json
  MCX_BROKER__HOME__ISSUER=https://idm.home.example mcx-token-broker serve";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    listen: ListenOptions,
}

impl Serve {
    pub(super) async fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        let configuration = match config::load(&options.sources(&self.listen)) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(unusable(problems, false)?),
        };
        init_logs(&configuration.log)?;
        for warning in &configuration.warnings {
            tracing::warn!("{warning}");
        }
        raise_open_files();
        let app = match App::wire(&configuration, &Clock::system()) {
            Ok(app) => app,
            Err(problems) => return Ok(unusable(problems, false)?),
        };
        let mut hang_ups = signal::hang_ups()?;
        let mut running = app.start().map_err(explained)?;
        let mut interrupted = pin!(signal::interrupted());
        loop {
            tokio::select! {
                signal = &mut interrupted => break signal?,
                error = running.failed() => return Err(error.into()),
                // What comes of it is in the log.
                Some(()) = hang_ups.recv() => drop(running.reload().await),
            }
        }
        running.stop().await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A connection takes two files, and the usual soft limit is 1024: systems have it for programs that use `select`, and
/// leave it to the others to raise it.
fn raise_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(open_files) => tracing::info!(open_files, "the limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

fn init_logs(log: &config::Log) -> anyhow::Result<()> {
    let format = match log.format {
        config::LogFormat::Human => logs::LogFormat::Human,
        config::LogFormat::Json => logs::LogFormat::Json,
    };
    logs::init(format, &log.filter).context("logs")
}

/// With what to do about it, where that is known.
fn explained(error: ServerError) -> anyhow::Error {
    let advice = match &error {
        ServerError::Bind { error, .. } => match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process has that port: stop it, or choose another with --listen or --admin-listen"
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            io::ErrorKind::PermissionDenied => "ports below 1024 are for privileged processes",
            _ => "choose another address with --listen or --admin-listen",
        },
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}: {advice}")
}
