//! `token login` and `token exchange`: an MCX client.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::login::{Login, LoginTerms};
use super::mcx_client::{ExchangeTerms, McxClient};
use super::peer::PeerOptions;
use super::private_file::{self, Existing};
use super::subject_token::{read, subject_token};
use super::{output, user_agent};
use crate::oauth::token_type;
use crate::secret::Secret;

const LOGIN_EXAMPLES: &str = "\
The answer of the token endpoint goes to standard output: pipe it into `token exchange`, or keep it with --output.

Examples:
  mcx-token-broker token login --issuer https://idm.home.example --client-id mcptt_client
  mcx-token-broker token login --issuer http://127.0.0.1:8081 --client-id mcptt_client --login-hint alice --auto";

const EXCHANGE_EXAMPLES: &str = "\
Examples:
  mcx-token-broker token login ... | mcx-token-broker token exchange --client-id mcptt_client --audience county-fire
  mcx-token-broker token exchange --broker https://broker.home.example --client-id dispatch \\
    --client-secret-file secret --subject-token-file home-token --resource https://idm.county-fire.example \\
    --scope 3gpp:mc:ptt_group_management_service";

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Sign a user in at the home IdM (TS 33.180 B.4: authorization code with PKCE)
    Login(LoginCommand),
    /// Exchange a home token for a partner token at the broker (RFC 8693)
    Exchange(ExchangeCommand),
}

#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub(super) struct LoginCommand {
    /// The home IdM; its endpoints come from discovery
    #[arg(long, value_name = "URL")]
    issuer: String,
    #[command(flatten)]
    client: ClientOptions,
    /// Space-delimited
    #[arg(long, default_value = "openid 3gpp:mc:ptt_group_management_service")]
    scope: String,
    /// How the user is to be authenticated
    #[arg(long, value_name = "VALUES", default_value = "3gpp:acr:password")]
    acr_values: String,
    /// Whom to sign in
    #[arg(long, value_name = "USER")]
    login_hint: Option<String>,
    /// Only print the URL, open no browser
    #[arg(long)]
    no_browser: bool,
    /// Follow the redirects without a browser, where no password is asked: the sandbox
    #[arg(long, conflicts_with = "no_browser")]
    auto: bool,
    /// How long to wait for the user
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Write the answer there, readable for its owner only, instead of to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    peer: PeerOptions,
}

#[derive(Debug, Args)]
#[command(after_help = EXCHANGE_EXAMPLES)]
pub(super) struct ExchangeCommand {
    /// The broker's issuer; its token endpoint comes from its metadata
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    broker: String,
    /// The token endpoint itself, for a broker that is not reached at its issuer
    #[arg(long, value_name = "URL", conflicts_with = "broker")]
    token_endpoint: Option<String>,
    #[command(flatten)]
    client: ClientOptions,
    /// The home token: bare, or the JSON of `token login`; - is standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    subject_token_file: PathBuf,
    /// What it is: access_token, jwt, or a whole URN
    #[arg(long, value_name = "TYPE", default_value = "access_token")]
    subject_token_type: String,
    /// The partner IdM
    #[arg(long, value_name = "URL", required_unless_present = "audience")]
    resource: Option<String>,
    /// The partner's id or domain
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Space-delimited [default: the partner's]
    #[arg(long)]
    scope: Option<String>,
    /// access_token (the default), jwt for the security token alone, or a whole URN
    #[arg(long, value_name = "TYPE")]
    requested_token_type: Option<String>,
    #[command(flatten)]
    peer: PeerOptions,
}

#[derive(Debug, Args)]
struct ClientOptions {
    /// Who asks
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// Its secret, sent by HTTP Basic [default: a public client]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
}

impl TokenCommand {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Login(command) => command.run().await,
            Self::Exchange(command) => command.run().await,
        }
    }
}

impl LoginCommand {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.client.client(&self.peer)?;
        let terms = LoginTerms {
            issuer: self.issuer,
            scope: self.scope,
            acr_values: Some(self.acr_values),
            login_hint: self.login_hint,
        };
        let login = Login::begin(&client, &terms).await?;
        let answer = if self.auto {
            user_agent::sign_in(&user_agent::client(&self.peer.trust)?, login, self.timeout).await?
        } else {
            output::complain(&format!("Sign in at\n  {}", login.url()));
            if !self.no_browser {
                user_agent::open_browser(login.url());
            }
            login.finish(self.timeout).await?
        };
        match &self.output {
            Some(path) => {
                private_file::write(path, &answer.json(), Existing::Replace)?;
                output::complain(&format!("Signed in: {}", path.display()));
            }
            None => output::line(answer.json().expose())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ExchangeCommand {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.client.client(&self.peer)?;
        let subject_token = subject_token(&read(&self.subject_token_file)?)?;
        let token_endpoint = match self.token_endpoint {
            Some(stated) => stated,
            None => client.endpoints(&self.broker).token().await?,
        };
        let terms = ExchangeTerms {
            resource: self.resource,
            audience: self.audience,
            scope: self.scope,
            subject_token_type: Some(token_type::in_full(&self.subject_token_type)),
            requested_token_type: self.requested_token_type.as_deref().map(token_type::in_full),
        };
        let answer = client.exchange(&token_endpoint, &subject_token, &terms).await?;
        output::line(answer.json().expose())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ClientOptions {
    fn client(&self, peer: &PeerOptions) -> anyhow::Result<McxClient> {
        let secret = self.client_secret_file.as_deref().map(read).transpose()?;
        Ok(McxClient {
            id: self.client_id.clone(),
            secret: secret.map(|text| Secret::from(text.trim_end_matches(['\r', '\n']))),
            http: peer.http()?,
        })
    }
}
