//! `health`: the container's health check.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output;
use super::peer::TrustOptions;
use crate::http::{HttpClient, HttpSettings};

#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 when the broker is ready, else with 1.\n\nExample:\n  mcx-token-broker health --admin http://127.0.0.1:9090"
)]
pub(super) struct Health {
    /// The admin listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Health {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let limit = Duration::from_secs(3);
        // Nothing is sent that anybody on the way could use.
        let http = HttpClient::new(&HttpSettings {
            connect_timeout: limit,
            timeout: limit,
            ca_pem: self.trust.ca_pem()?,
            allow_http: true,
            ..HttpSettings::default()
        })?;
        let url = format!("{}/ready", self.admin.trim_end_matches('/'));
        let verdict = match http.get(&url).await {
            Ok(answer) if answer.status == 200 => {
                output::line("ready")?;
                return Ok(ExitCode::SUCCESS);
            }
            Ok(answer) => format!("not ready: {url} answered {}", answer.status),
            Err(error) => format!("not ready: {url}: {error}"),
        };
        output::complain(&verdict);
        Ok(ExitCode::FAILURE)
    }
}
