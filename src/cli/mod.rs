//! The command line: one file per command. The only place that writes to standard output.

mod check;
mod completions;
#[cfg(feature = "sandbox")]
mod demo;
mod explain;
mod health;
mod keys;
mod login;
mod manual;
mod mcx_client;
mod output;
mod partners;
mod peer;
mod private_file;
#[cfg(feature = "sandbox")]
mod sandbox;
mod serve;
mod signal;
mod sources;
mod subject_token;
mod token;
mod user_agent;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use sources::ConfigurationOptions;

/// The configuration cannot be used (`EX_CONFIG` of sysexits.h): a supervisor should not start it again.
const EXIT_CONFIGURATION: u8 = 78;
/// The command line cannot be used; what clap exits with.
const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  mcx-token-broker demo      a whole federation in one process, step by step
  mcx-token-broker check     every problem of config/broker.toml and partners/*.toml
  mcx-token-broker serve --config broker.toml --partners /etc/mcx/partners
  mcx-token-broker token login --issuer https://idm.home.example --client-id mcptt_client

Configuration comes from the embedded defaults, then --config files, then MCX_BROKER__SECTION__KEY
variables of the environment, then --set and the other flags.
Exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.";

/// Exchanges home access tokens for access tokens of partner domains (3GPP TS 33.180 B.7, RFC 8693).
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, propagate_version = false)]
pub struct Cli {
    #[command(flatten)]
    configuration: ConfigurationOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker until SIGTERM or Ctrl-C
    Serve(serve::Serve),
    /// Check the configuration and every partner file; calls nobody
    Check(check::Check),
    /// Say, check by check, what becomes of a client's request and why; calls nobody unless told to
    Explain(Box<explain::Explain>),
    /// The files of partner domains
    #[command(subcommand)]
    Partners(partners::PartnersCommand),
    /// Act as an MCX client: sign a user in, exchange a token
    #[command(subcommand)]
    Token(Box<token::TokenCommand>),
    /// Make keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Ask a running broker whether it takes requests
    Health(health::Health),
    /// Run the whole federation in this process and show each step
    #[cfg(feature = "sandbox")]
    Demo(demo::Demo),
    /// Run a stand-alone identity server (home or partner) with a group management service
    #[cfg(feature = "sandbox")]
    Sandbox(Box<sandbox::SandboxCommand>),
    /// Make the certificates, keys and secrets of a trial federation
    #[cfg(feature = "sandbox")]
    Credentials(sandbox::Credentials),
    /// Print a completion script for a shell
    Completions(completions::Completions),
    /// Write the pages of man and the completion scripts, for packing
    #[command(hide = true)]
    Manual(manual::Manual),
}

impl Command {
    fn reads_configuration(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Check(_) | Self::Explain(_) => true,
            Self::Partners(command) => command.reads_configuration(),
            _ => false,
        }
    }
}

impl Cli {
    /// Does what the command line says, and says what went wrong on standard error.
    pub async fn run(self) -> ExitCode {
        if !self.command.reads_configuration() && self.configuration.is_stated() {
            output::complain(
                "error: --config, --partners and --set are for commands that read the broker's configuration: serve, check, explain, partners",
            );
            return ExitCode::from(EXIT_USAGE);
        }
        let outcome = match self.command {
            Command::Serve(command) => command.run(self.configuration).await,
            Command::Check(command) => command.run(self.configuration),
            Command::Explain(command) => command.run(self.configuration).await,
            Command::Partners(command) => command.run(self.configuration).await,
            Command::Token(command) => command.run().await,
            Command::Keys(command) => command.run(),
            Command::Health(command) => command.run().await,
            #[cfg(feature = "sandbox")]
            Command::Demo(command) => command.run().await,
            #[cfg(feature = "sandbox")]
            Command::Sandbox(command) => command.run().await,
            #[cfg(feature = "sandbox")]
            Command::Credentials(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Manual(command) => command.run(),
        };
        outcome.unwrap_or_else(|error| {
            if !is_broken_pipe(&error) {
                output::complain(&format!("error: {error:#}"));
            }
            ExitCode::FAILURE
        })
    }
}

/// Whoever read our output has read enough: nothing to complain about, and nobody to complain to.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
