//! `sandbox`: a stand-alone identity server.

mod credentials;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::Value;
use url::Url;

pub(super) use credentials::Credentials;

use super::peer::TrustOptions;
use super::{output, signal};
use crate::jose::SigningKey;
use crate::sandbox::{Behaviour, Client, Sandbox, SandboxOptions, SandboxTls, TrustedIssuer, TrustedKeys};
use crate::secret::Secret;

/// The client that stands for the broker at a home IdM.
const BROKER: &str = "mcx-broker";

const EXAMPLES: &str = "\
Logging in takes no password: whoever reaches the sandbox can be any of its users. Users: alice, bob, carol.
Clients: mcptt_client (public), mcx-broker with secret broker-secret (the broker at the home IdM), mcx-home with
secret partner-secret (the broker at a partner IdM).

Examples:
  mcx-token-broker sandbox                                       a home IdM
  mcx-token-broker sandbox --listen 127.0.0.1:8082 --trust http://127.0.0.1:8081
                                                                 a partner IdM with its group management service
  mcx-token-broker sandbox --behaviour keycloak                  one that demands and answers what Keycloak does
  mcx-token-broker sandbox --listen 0.0.0.0:8445 --allow-remote --issuer https://idm.county-fire.localhost:8445 \\
    --tls-certificate tls.crt --tls-key tls.key --trust https://idm.home.localhost:8444=home-jwks.json
                                                                 a partner IdM with TLS, in a network of its own";

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
    #[arg(long, value_name = "ISSUER[=JWKS_URL|FILE]", value_parser = trusted)]
    trust: Vec<TrustedIssuer>,
    /// Another secret for a known client, from a file
    #[arg(long, value_name = "CLIENT=FILE", value_parser = client_secret)]
    client_secret: Vec<(String, PathBuf)>,
    /// Where mcx-broker is told that a user has logged out (back-channel)
    #[arg(long, value_name = "URL")]
    backchannel_logout: Option<String>,
    /// The private key that signs tokens [default: one that lives as long as the process]
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Listen beyond loopback: whoever reaches it can be any user
    #[arg(long)]
    allow_remote: bool,
    /// PEM chain: speak TLS
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Connection")]
    tls_certificate: Option<PathBuf>,
    /// PEM private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate", help_heading = "Connection")]
    tls_key: Option<PathBuf>,
    #[command(flatten)]
    peers: TrustOptions,
}

impl SandboxCommand {
    pub(super) async fn run(self: Box<Self>) -> anyhow::Result<ExitCode> {
        if self.list_behaviours {
            output::line(&Behaviour::profile_names().collect::<Vec<_>>().join("\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        let listen = self.listen;
        let started = Sandbox::start(self.options()?).await;
        let sandbox = started.map_err(|error| anyhow!("{listen}: {error}"))?;
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

    fn options(self) -> anyhow::Result<SandboxOptions> {
        let clients = self.clients()?;
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(SandboxTls {
                certificates: read(certificate)?,
                key: Secret::from(read(key)?),
                client_ca: None,
            }),
            _ => None,
        };
        let signing_key = self.signing_key.as_deref().map(signing_key).transpose()?;
        let ca_pem = self.peers.ca_pem()?.map(String::from_utf8).transpose().context("--ca-file")?;
        Ok(SandboxOptions {
            listen: self.listen,
            issuer: self.issuer,
            behaviour: self.behaviour.map(|behaviour| *behaviour).unwrap_or_default(),
            clients,
            trusted_issuers: self.trust,
            allow_remote: self.allow_remote,
            signing_key,
            tls,
            ca_pem,
            ..SandboxOptions::default()
        })
    }

    /// The usual clients, with the secrets and the logout address of the command line.
    fn clients(&self) -> anyhow::Result<Vec<Client>> {
        let mut clients = Client::defaults();
        for (id, file) in &self.client_secret {
            let known = clients.iter_mut().find(|client| client.id == *id && client.secret.is_some());
            let Some(client) = known else { bail!("--client-secret: {id} is no client with a secret") };
            client.secret = Some(Secret::from(read(file)?.trim_end_matches(['\r', '\n'])));
        }
        for client in clients.iter_mut().filter(|client| client.id == BROKER) {
            client.backchannel_logout_uri.clone_from(&self.backchannel_logout);
        }
        Ok(clients)
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn signing_key(file: &Path) -> anyhow::Result<SigningKey> {
    SigningKey::parse(&Secret::from(read(file)?), None, None).with_context(|| file.display().to_string())
}

fn behaviour(name: &str) -> Result<Box<Behaviour>, String> {
    Behaviour::profile(name).map(Box::new).ok_or_else(|| {
        let names: Vec<_> = Behaviour::profile_names().collect();
        format!("there is none of that name; there are: {}", names.join(", "))
    })
}

fn trusted(text: &str) -> Result<TrustedIssuer, String> {
    let (issuer, keys) = match text.split_once('=') {
        Some((issuer, "")) => return Err(format!("write {issuer}=JWKS_URL or {issuer}=FILE")),
        Some((issuer, url)) if Url::parse(url).is_ok() => (issuer, Some(TrustedKeys::Url(url.to_owned()))),
        Some((issuer, file)) => (issuer, Some(TrustedKeys::Set(key_set(file)?))),
        None => (text, None),
    };
    let usual = TrustedIssuer::sandbox(issuer);
    Ok(match keys {
        Some(keys) => TrustedIssuer { keys, ..usual },
        None => usual,
    })
}

/// Keys that came by another way than the network.
fn key_set(file: &str) -> Result<Value, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}

fn client_secret(text: &str) -> Result<(String, PathBuf), String> {
    let (id, file) = text.split_once('=').ok_or("write CLIENT=FILE")?;
    Ok((id.to_owned(), PathBuf::from(file)))
}
