//! `partners add`: from an issuer to a partner file that works.

mod answers;
mod file;
mod found;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use self::answers::Answers;
use self::file::Definition;
use self::found::Found;
use super::test::Test;
use crate::cli::peer::PeerOptions;
use crate::cli::private_file::Existing;
use crate::cli::sources::{ConfigurationOptions, ListenOptions, unusable};
use crate::cli::{EXIT_CONFIGURATION, EXIT_USAGE, output};
use crate::clock::Clock;
use crate::config::{self, Configuration, Problem};
use crate::exchange::{ExchangeError, Products};
use crate::idm::discover;
use crate::partner::GrantError;

const EXAMPLES: &str = "\
Asks the issuer for its metadata (OpenID Connect Discovery, RFC 8414), shows what it found, asks on a terminal for what no
flag says, writes partners/<id>.toml, and tests it. The secret itself never goes into the file.

Examples:
  mcx-token-broker partners add https://idm.county-fire.example
  mcx-token-broker partners add https://idm.county-fire.example --id county-fire --client-id mcx-home \\
    --secret-file /run/secrets/county-fire --domain mcx.county-fire.example --no-input

Exit codes: 0 the file is written and the test held, 1 discovery or the test failed, 2 a flag is missing where nobody can be
asked, 78 the configuration is wrong or the file is there already.";

const METHODS: [&str; 5] =
    ["client_secret_basic", "client_secret_post", "private_key_jwt", "tls_client_auth", "none"];
/// Of a product of which nothing is known, or which is not what its metadata looks like.
const NO_PRESET: &str = "none";
/// The group management service: what the first exchange is nearly always for.
const USUAL_SCOPE: &str = "3gpp:mc:ptt_group_management_service";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(in crate::cli) struct Add {
    /// The partner's identity server, to the character
    issuer: String,
    /// What is known of its product, or none [default: guessed from its metadata]
    #[arg(long, value_name = "NAME", value_parser = preset_or_none())]
    preset: Option<String>,
    /// What the partner is called here: the file's name without .toml [default: from the issuer's host]
    #[arg(long)]
    id: Option<String>,
    /// For people [default: the id]
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What clients send as `resource` [default: the issuer]
    #[arg(long, value_name = "URI")]
    resource: Option<String>,
    /// Accepted as `audience`; may be repeated
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,
    /// Our client id there
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// How we authenticate there [default: the preset's, else the first that it offers and we can]
    #[arg(long, value_name = "METHOD", value_parser = PossibleValuesParser::new(METHODS))]
    authentication: Option<String>,
    /// File with our secret there, or with our private key
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// File with our certificate there (tls_client_auth); its key is --secret-file
    #[arg(long, value_name = "FILE")]
    certificate_file: Option<PathBuf>,
    /// Where security tokens come from [default: exchange]
    #[arg(long, value_name = "SOURCE", value_parser = PossibleValuesParser::new(["exchange", "mint"]))]
    source: Option<String>,
    /// What the security token's aud must carry [default: the preset's, else the resource]
    #[arg(long, value_name = "VALUE")]
    audience: Option<String>,
    /// What clients may ask for; may be repeated [default: the group management service]
    #[arg(long)]
    scope: Vec<String>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// Ask nothing, take defaults, as when standard input is no terminal
    #[arg(long, visible_alias = "yes")]
    no_input: bool,
    /// Write the file and leave it untested
    #[arg(long)]
    no_test: bool,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    peer: PeerOptions,
}

/// Why no file was written, or why it was not tested.
enum Stop {
    Configuration(Vec<Problem>),
    /// Exit code and what is in the way.
    Refused(u8, Vec<Obstacle>),
    Failed(anyhow::Error),
}

/// What is in the way of a file.
#[derive(Debug, Serialize)]
struct Obstacle {
    problem: String,
    /// What is probably wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    likely: Option<&'static str>,
    remedy: Cow<'static, str>,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.problem)?;
        if let Some(likely) = self.likely {
            write!(formatter, "\nlikely: {likely}")?;
        }
        write!(formatter, "\nremedy: {}", self.remedy)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Add {
    pub(in crate::cli) async fn run(self, options: ConfigurationOptions) -> anyhow::Result<ExitCode> {
        match self.added(options).await {
            Ok(code) => Ok(code),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Configuration(problems)) => Ok(unusable(problems, self.json)?),
            Err(Stop::Refused(code, obstacles)) => {
                if self.json {
                    output::line(&json!({ "ok": false, "problems": obstacles }).to_string())?;
                } else {
                    for obstacle in &obstacles {
                        output::complain(&obstacle.to_string());
                    }
                }
                Ok(ExitCode::from(code))
            }
        }
    }

    async fn added(&self, options: ConfigurationOptions) -> Result<ExitCode, Stop> {
        let mut sources = options.sources(&ListenOptions::default());
        sources.may_name_unknown_partners = true;
        let configuration = config::load_tolerating_partners(&sources)
            .map_err(|problems| Stop::Configuration(problems.into_iter().collect()))?;
        let found = self.found().await?;
        if !self.json {
            output::line(&format!("{}\n{}", self.issuer, found.text()))?;
        }
        let definition = self.definition(&found)?;
        let path = place(&configuration, &definition.id)?;
        let text = definition.text();
        check(&configuration, &path, &text)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        if let Err(error) = file::write(&path, &text, existing) {
            return Err(match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    let problem = format!("{} is there already", path.display());
                    let remedy = "name another --id, or replace it with --force".into();
                    Stop::Refused(EXIT_CONFIGURATION, vec![Obstacle { problem, likely: None, remedy }])
                }
                _ => Stop::Failed(
                    anyhow::Error::from(error).context(format!("{} cannot be written", path.display())),
                ),
            });
        }
        if !self.json {
            output::line(&format!("\nwrote {}\n", path.display()))?;
        }
        let tested =
            if self.no_test { None } else { Some(Box::pin(self.tested(&definition, &sources)).await?) };
        let held = tested.as_ref().is_none_or(|(held, _)| *held);
        if !held && !self.json {
            output::line(
                "the file stays, and counts for a running broker: mend it, or write enabled = false in it",
            )?;
        }
        if !self.json && !configuration.clients.iter().any(|client| client.partners.contains(&definition.id))
        {
            let next = format!(
                "next: no client may use it yet; name \"{}\" in `partners` of one of [[clients]] in the broker file",
                definition.id
            );
            output::line(&next)?;
        }
        if self.json {
            let report = tested.map(|(_, report)| report);
            let all = json!({
                "ok": held, "id": definition.id, "file": path, "preset": definition.preset,
                "found": found.value(), "test": report,
            });
            output::line(&all.to_string())?;
        }
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn found(&self) -> Result<Found, Stop> {
        let published = discover(&self.peer.http()?, &self.issuer).await.map_err(|error| {
            let problem = format!("{}: {error}", self.issuer);
            let products = Products { partner: self.preset.as_deref(), home: None };
            let error = ExchangeError::Grant(GrantError::Idm(error));
            let cause = error.explained(products, Clock::system().now()).cause;
            let remedy = cause.remedy.as_str().into();
            Stop::Refused(1, vec![Obstacle { problem, likely: Some(&cause.cause), remedy }])
        })?;
        Ok(Found::read(&published))
    }

    /// What the flags say, and where they say nothing what the person at the terminal does.
    fn definition(&self, found: &Found) -> Result<Definition, Stop> {
        let mut answers = Answers::new(!self.no_input && !self.json);
        let id = answers.answer("--id", "id, the file's name", self.id.clone(), id_of_host(&self.issuer))?;
        let resource = answers.answer(
            "--resource",
            "resource that clients send",
            self.resource.clone(),
            Some(self.issuer.clone()),
        )?;
        let domains = Some(self.domain.join(" ")).filter(|domains| !domains.is_empty());
        let domains = answers.answer(
            "--domain",
            "names that clients may send as audience",
            domains,
            Some(String::new()),
        )?;
        let guess = found.preset.unwrap_or(NO_PRESET).to_owned();
        let preset =
            answers.answer("--preset", "what is known of its product", self.preset.clone(), Some(guess))?;
        let preset = preset.filter(|preset| preset != NO_PRESET);
        if let Some(unknown) =
            preset.as_ref().filter(|name| !config::presets().any(|(known, _)| known == *name))
        {
            let problem = format!("there is no preset {unknown:?}");
            let remedy = "name one that `partners add --help` lists, or none".into();
            return Err(Stop::Refused(EXIT_USAGE, vec![Obstacle { problem, likely: None, remedy }]));
        }
        let client_id = answers.answer("--client-id", "our client id there", self.client_id.clone(), None)?;
        let of_preset = preset.as_deref().and_then(config::preset_authentication);
        let method = self.authentication.clone().or_else(|| of_preset.clone()).or_else(|| offered(found));
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let (mut certificate_file, mut secret_file) = (path(&self.certificate_file), path(&self.secret_file));
        match method.as_deref() {
            Some("none" | "private_key_jwt") => {}
            Some("tls_client_auth") => {
                let what = "file with our certificate there";
                certificate_file = answers.answer("--certificate-file", what, certificate_file, None)?;
                secret_file = answers.answer("--secret-file", "file with its key", secret_file, None)?;
            }
            _ => {
                let what = "file with our secret there";
                secret_file = answers.answer("--secret-file", what, secret_file, None)?;
            }
        }
        let scopes = Some(self.scope.join(" ")).filter(|scopes| !scopes.is_empty());
        let scopes = answers.answer(
            "--scope",
            "scopes that clients may ask for",
            scopes,
            Some(USUAL_SCOPE.to_owned()),
        )?;
        let missing: Vec<Obstacle> = answers.missing().collect();
        if !missing.is_empty() {
            return Err(Stop::Refused(EXIT_USAGE, missing));
        }
        let (ca_file, allow_http) = self.peer.stated();
        Ok(Definition {
            id: id.unwrap_or_default(),
            display_name: self.display_name.clone(),
            resource: resource.unwrap_or_default(),
            domains: words(domains.as_deref()),
            preset,
            issuer: self.issuer.clone(),
            client_id: client_id.unwrap_or_default(),
            is_of_preset: self.authentication.is_none() && of_preset.is_some(),
            method,
            certificate_file: certificate_file.map(|path| whole(Path::new(&path))).transpose()?,
            secret_file: secret_file.map(|path| whole(Path::new(&path))).transpose()?,
            source: self.source.clone(),
            audience: self.audience.clone(),
            scopes: words(scopes.as_deref()),
            ca_file: ca_file.map(whole).transpose()?,
            allow_http,
        })
    }

    async fn tested(
        &self,
        definition: &Definition,
        sources: &config::Sources,
    ) -> Result<(bool, Value), Stop> {
        let test = Test::of(definition.id.clone(), self.json);
        match test.report(sources).await? {
            Ok(report) => {
                if !self.json {
                    output::line(&report.summary())?;
                }
                Ok((report.held(), report.value()))
            }
            Err(problems) => Err(Stop::Configuration(problems)),
        }
    }
}

/// The file. An id is a file's name and nothing else: no path leads out of the directory.
fn place(configuration: &Configuration, id: &str) -> Result<PathBuf, Stop> {
    let name = format!("{id}.toml");
    let is_one = Path::new(&name).file_name().is_some_and(|file| file == name.as_str());
    let path = configuration.partners_directory.join(&name);
    if is_one && config::id_of(&path).as_deref() == Some(id) {
        return Ok(path);
    }
    let remedy = "it has a-z, 0-9, '.', '_', '-', begins with a letter or digit, and is at most 63 long";
    let problem = format!("--id {id:?} is not a partner id");
    Err(Stop::Refused(EXIT_USAGE, vec![Obstacle { problem, likely: None, remedy: remedy.into() }]))
}

/// What `check` would say of the file, before there is one.
fn check(configuration: &Configuration, path: &Path, text: &str) -> Result<(), Stop> {
    let added = config::parse_partner(path, text, &configuration.partner_defaults)
        .map_err(|problems| Stop::Configuration(problems.into_iter().collect()))?;
    let others = configuration.partners.iter().filter(|other| other.path != *path);
    let conflicts = config::conflicts(others.chain([&added]));
    let problems: Vec<Problem> = conflicts.into_iter().map(|(_, problem)| problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(Stop::Configuration(problems)) }
}

/// What separates the names and scopes of one answer.
fn words(answer: Option<&str>) -> Vec<String> {
    answer.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn preset_or_none() -> PossibleValuesParser {
    PossibleValuesParser::new(config::presets().map(|(name, _)| name).chain([NO_PRESET]))
}

/// The first of the methods that it offers and we have, the usual one where it does not say.
fn offered(found: &Found) -> Option<String> {
    let Some(offers) = &found.methods else { return Some(METHODS[0].to_owned()) };
    METHODS.into_iter().find(|method| offers.iter().any(|offer| offer == method)).map(str::to_owned)
}

/// `idm.county-fire.example` is `county-fire`.
fn id_of_host(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    let host = url.domain()?.to_ascii_lowercase();
    let general = ["idm", "idp", "id", "auth", "login", "sso", "www", "accounts", "oauth"];
    let mut labels = host.split('.').filter(|label| !general.contains(label));
    labels.next().filter(|label| !label.is_empty()).map(str::to_owned)
}

/// The file names other files relative to itself; who types one means it relative to where they are.
fn whole(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_from_the_part_of_the_host_that_says_who_it_is() {
        for (issuer, expected) in [
            ("https://idm.county-fire.example/realms/x", Some("county-fire")),
            ("https://Login.SSO.Fire.example", Some("fire")),
            ("https://fire.example", Some("fire")),
            ("http://127.0.0.1:8080", None),
            ("https://[::1]/", None),
            ("IdMS.server.com:9031", None),
        ] {
            assert_eq!(id_of_host(issuer).as_deref(), expected, "{issuer}");
        }
    }
}
