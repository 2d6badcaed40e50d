//! `partners test`: the exchange with one partner, step by step, by the code that the broker runs.

mod bench;
mod forged;
mod legs;
mod line;
mod published;
mod refusals;
mod side;
mod way;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use self::bench::Bench;
use self::legs::Known;
pub(in crate::cli) use self::line::Report;
use self::side::Side;
use crate::app::Probe;
use crate::cli::output;
use crate::cli::sources::{ConfigurationOptions, ListenOptions, unusable};
use crate::cli::subject_token::{read, subject_token};
use crate::clock::Clock;
use crate::config::{self, Configuration, PartnerFile, Problem, Sources};
use crate::diagnosis::Leg;
use crate::idm::{Idm, Published};
use crate::oauth::grant::GrantType;
use crate::oauth::grant_type;
use crate::oauth::scope::ScopeSet;
use crate::oauth::security_token::{ExchangePlan, HomeGrant, SecurityTokenSource};

const EXAMPLES: &str = "\
Each line: the leg, what was looked at, the verdict, what came back; and where something is wrong, what was tried, the
likely cause, the key to change and the remedy (docs/diagnosis.md).

Nothing is kept: no cache is written, and no token is shown. With a home token a partner token is obtained and thrown away.
The partner and the home IdM are also sent tokens that they must refuse.

Examples:
  mcx-token-broker partners test county-fire
  mcx-token-broker token login ... | mcx-token-broker partners test county-fire --subject-token-file - --json

Exit codes: 0 all held, 1 something failed, 78 the configuration is wrong.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Test {
    /// The partner: its file's name without .toml
    id: String,
    /// A home token for both legs: bare, or the JSON of `token login`; - is standard input
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
    /// The MCX client for which it is tried [default: the first that may use the partner]
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Space-delimited [default: the partner's default, else all that it allows]
    #[arg(long)]
    scope: Option<String>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
}

impl Test {
    /// With all its defaults.
    pub(in crate::cli) const fn of(id: String, json: bool) -> Self {
        Self { id, subject_token_file: None, client: None, scope: None, json }
    }

    pub(in crate::cli) async fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        let report = match self.report(&options.sources(&ListenOptions::default())).await? {
            Ok(report) => report,
            Err(problems) => return Ok(unusable(problems, self.json)?),
        };
        if self.json {
            output::line(&report.value().to_string())?;
        } else {
            output::line(&report.summary())?;
        }
        Ok(if report.held() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Carries it out, and prints each line as it comes, for people.
    pub(in crate::cli) async fn report(
        &self,
        sources: &Sources,
    ) -> anyhow::Result<Result<Report, Vec<Problem>>> {
        let configuration = match config::load_tolerating_partners(sources) {
            Ok(configuration) => configuration,
            Err(problems) => return Ok(Err(problems.into_iter().collect())),
        };
        let clock = Clock::system();
        let wired = find(&configuration, &self.id)
            .and_then(|file| Ok((file, Probe::wire(&configuration, file, &clock)?)));
        let (file, probe) = match wired {
            Ok(wired) => wired,
            Err(problems) => return Ok(Err(problems)),
        };
        let bench = self.bench(&configuration, file, probe, clock)?;
        let (broker_file, partner_file) = (configuration.broker_file(), file.path.display().to_string());
        let mut report = Report::new(self.json, self.id.clone(), broker_file, partner_file);
        report.about(&format!("{}: {} at {}", self.id, file.display_name, file.idm.issuer))?;
        if !file.enabled {
            report.about("It is not enabled: the broker does not serve it.")?;
        }
        Box::pin(bench.run(&mut report, configuration.home.jwks.is_none())).await?;
        Ok(Ok(report))
    }

    fn bench(
        &self,
        configuration: &Configuration,
        file: &PartnerFile,
        probe: Probe,
        clock: Clock,
    ) -> anyhow::Result<Bench> {
        let home_token =
            self.subject_token_file.as_deref().map(|path| subject_token(&read(path)?)).transpose()?;
        let scope = match &self.scope {
            Some(scope) => scope.parse::<ScopeSet>().context("--scope")?,
            None if file.scopes.default.is_empty() => file.scopes.allowed.clone(),
            None => file.scopes.default.clone(),
        };
        let may = |client: &&config::Client| client.partners.contains(&self.id);
        let client = self
            .client
            .clone()
            .or_else(|| configuration.clients.iter().find(may).map(|client| client.id.clone()));
        Ok(Bench {
            probe,
            presets: [configuration.home.preset.clone(), file.preset.clone()],
            home_audience: configuration.home.audience.first().cloned(),
            client: client.unwrap_or_else(|| "mcptt_client".to_owned()),
            scope,
            home_token,
            clock,
        })
    }
}

/// The partner's file, or what is wrong with it.
fn find<'c>(configuration: &'c Configuration, id: &str) -> Result<&'c PartnerFile, Vec<Problem>> {
    if let Some(unusable) = configuration.unusable_partners.iter().find(|partner| partner.id == id) {
        return Err(unusable.problems.clone());
    }
    configuration.partners.iter().find(|partner| partner.id == id).ok_or_else(|| {
        let known: Vec<&str> = configuration.partners.iter().map(|partner| partner.id.as_str()).collect();
        vec![Problem {
            file: configuration.partners_directory.display().to_string(),
            key: String::new(),
            problem: format!("has no partner {id:?}"),
            remedy: format!("name one of: {}", known.join(", ")),
        }]
    })
}

impl Bench {
    async fn run(&self, report: &mut Report, home_keys_are_fetched: bool) -> io::Result<()> {
        let home = self.side(Leg::Home, &self.probe.home, self.home_grant());
        let partner = self.side(Leg::Partner, &self.probe.partner.idm, Some(self.partner_grant()));
        let looked = self.server(&home, home_keys_are_fetched, report).await?;
        let key = looked.key;
        let mut home_is_well = looked.is_well;
        if home_is_well {
            home_is_well = self.check_credentials(&home, report).await?;
            if home_is_well {
                self.check_forgery(&home, self.home_token.as_ref(), key.as_ref(), report).await?;
            }
        }
        let there = self.server(&partner, false, report).await?;
        let partner_is_well = there.is_well && self.check_credentials(&partner, report).await?;
        let user = if home_is_well || self.mints() { self.check_home_token(report).await? } else { None };
        let Some(user) = user else {
            if partner_is_well {
                self.check_forgery(&partner, None, key.as_ref(), report).await?;
            }
            return Ok(());
        };
        let Some(assertion) = self.check_first_leg(&user, report).await? else { return Ok(()) };
        if !partner_is_well {
            return Ok(());
        }
        let known = Known {
            issuer: self.probe.partner.idm.issuer(),
            published: there.published.as_ref(),
            token_endpoint: &there.token_endpoint,
            clocks_agree: there.clocks_agree,
        };
        self.check_second_leg(&partner, &assertion, &known, report).await?;
        // Another one: the partner may take each once only, and would refuse this one for that.
        let fresh = self.security_token(&user).await.ok().map(|(token, _)| token);
        self.check_forgery(&partner, fresh.as_ref(), key.as_ref(), report).await?;
        Ok(())
    }

    fn side<'s>(&'s self, leg: Leg, idm: &'s Idm, grant: Option<&'static str>) -> Side<'s> {
        Side { leg, idm, grant, products: self.products(), clock: self.clock.clone() }
    }

    fn home_grant(&self) -> Option<&'static str> {
        match &self.probe.partner.security_token {
            SecurityTokenSource::Exchange(ExchangePlan { grant: HomeGrant::TokenExchange, .. }) => {
                Some(grant_type::TOKEN_EXCHANGE)
            }
            SecurityTokenSource::Exchange(_) => Some(grant_type::JWT_BEARER),
            SecurityTokenSource::Mint(_) => None,
        }
    }

    const fn partner_grant(&self) -> &'static str {
        match self.probe.partner.grant.kind {
            GrantType::JwtBearer => grant_type::JWT_BEARER,
            GrantType::TokenExchange => grant_type::TOKEN_EXCHANGE,
            GrantType::ClientCredentials => grant_type::CLIENT_CREDENTIALS,
        }
    }

    /// What can be seen of a server from outside.
    async fn server(&self, side: &Side<'_>, keys: bool, report: &mut Report) -> io::Result<Server> {
        let mut server = Server::default();
        if side.idm.published_at().is_some_and(|issuer| !issuer.is_empty())
            && !side.check_way(side.idm.issuer(), report).await?
        {
            return Ok(server);
        }
        server.published = side.check_discovery(report).await?;
        if side.idm.published_at().is_some() && server.published.is_none() {
            return Ok(server);
        }
        if let Some(published) = &server.published {
            side.check_advertised(published, report)?;
        }
        if keys {
            server.key = side.check_keys(report).await?;
        }
        if side.grant.is_none() {
            server.is_well = true;
            return Ok(server);
        }
        match side.idm.token_endpoint().await {
            Ok(url) => server.token_endpoint = url,
            Err(error) => {
                side.no_token_endpoint(error, report)?;
                return Ok(server);
            }
        }
        let elsewhere =
            side.idm.published_at().is_none_or(|issuer| !is_same_place(issuer, &server.token_endpoint));
        if elsewhere && !side.check_way(&server.token_endpoint, report).await? {
            return Ok(server);
        }
        server.clocks_agree = side.check_clock(&server.token_endpoint, report).await?;
        server.is_well = true;
        Ok(server)
    }
}

/// What was seen of one.
#[derive(Default)]
struct Server {
    published: Option<Published>,
    token_endpoint: String,
    /// Of the first of its keys.
    key: Option<(String, Option<String>)>,
    clocks_agree: bool,
    /// Whether it makes sense to ask it for anything.
    is_well: bool,
}

/// Whether two URLs lead to one listener.
fn is_same_place(one: &str, other: &str) -> bool {
    let place = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
    place(one) == place(other)
}
