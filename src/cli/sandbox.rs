//! `sandbox`: a stand-alone identity server.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use url::Url;

use super::{output, signal};
use crate::sandbox::{Behaviour, Sandbox, SandboxOptions, TrustedIssuer, TrustedKeys};

const EXAMPLES: &str = "\
Logging in takes no password: whoever reaches the sandbox can be any of its users. Users: alice, bob, carol.
Clients: mcptt_client (public), mcx-broker with secret broker-secret (the broker at the home IdM), mcx-home with
secret partner-secret (the broker at a partner IdM).

Examples:
  mcx-token-broker sandbox                                       a home IdM
  mcx-token-broker sandbox --listen 127.0.0.1:8082 --trust http://127.0.0.1:8081
                                                                 a partner IdM with its group management service
  mcx-token-broker sandbox --behaviour keycloak                  one that demands and answers what Keycloak does";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SandboxCommand {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// Its issuer, where it is not the address
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The product that it behaves like [default: what TS 33.180 says]
    #[arg(long, value_name = "NAME", value_parser = behaviour)]
    behaviour: Option<Box<Behaviour>>,
    /// Print the names that --behaviour takes, and exit
    #[arg(long)]
    list_behaviours: bool,
    /// An issuer whose tokens are accepted in the partner role [JWKS default: ISSUER/jwks]
    #[arg(long, value_name = "ISSUER[=JWKS_URL]", value_parser = trusted)]
    trust: Vec<TrustedIssuer>,
    /// Listen beyond loopback: whoever reaches it can be any user
    #[arg(long)]
    allow_remote: bool,
}

impl SandboxCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.list_behaviours {
            output::line(&Behaviour::profile_names().collect::<Vec<_>>().join("\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let sandbox = Sandbox::start(SandboxOptions {
            listen: self.listen,
            issuer: self.issuer,
            behaviour: self.behaviour.map(|behaviour| *behaviour).unwrap_or_default(),
            trusted_issuers: self.trust,
            allow_remote: self.allow_remote,
            ..SandboxOptions::default()
        })
        .await
        .map_err(|error| anyhow!("{}: {error}", self.listen))?;
        output::line(&format!(
            "issuer          {}\ntoken endpoint  {}\nkeys            {}\ngroups          {}{{group}}\nCtrl-C stops it.",
            sandbox.issuer(),
            sandbox.token_endpoint(),
            sandbox.jwks_uri(),
            sandbox.gms_url(),
        ))?;
        signal::interrupted().await?;
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}

fn behaviour(name: &str) -> Result<Box<Behaviour>, String> {
    Behaviour::profile(name).map(Box::new).ok_or_else(|| {
        let names: Vec<_> = Behaviour::profile_names().collect();
        format!("there is none of that name; there are: {}", names.join(", "))
    })
}

fn trusted(text: &str) -> Result<TrustedIssuer, String> {
    let (issuer, keys) = match text.split_once('=') {
        Some((issuer, url)) if Url::parse(url).is_err() => {
            return Err(format!("write {issuer}=JWKS_URL"));
        }
        Some((issuer, url)) => (issuer, Some(TrustedKeys::Url(url.to_owned()))),
        None => (text, None),
    };
    let usual = TrustedIssuer::sandbox(issuer);
    Ok(match keys {
        Some(keys) => TrustedIssuer { keys, ..usual },
        None => usual,
    })
}
