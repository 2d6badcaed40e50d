//! Configuration: one broker file in layers, and one file per partner.
//!
//! Layers of the broker, the later over the earlier: the embedded `config/default.toml`, the home preset, files,
//! `MCX_BROKER__...` environment variables, flags. Layers of a partner: `[home.security_token]` (its preset under it),
//! the partner preset, the partner file. The result is plain data: defaults filled in, secrets and files read.
//! All problems are reported at once, each with file, key, what is wrong and what to write; none shows a value.
//!
//! Nothing but `app` and `cli` reads this module: everything else is constructed from plain values.

mod admin;
mod audit;
mod cache;
mod clients;
mod connection;
mod epoch;
mod exchange;
mod file;
mod findings;
mod grant;
mod home;
mod idm;
mod layer;
mod log;
mod mint;
mod partner;
mod placeholder;
mod preset;
mod problem;
mod read;
mod registration;
mod rules;
pub mod schema;
mod scopes;
mod secrets;
mod security_token;
mod server;
mod signing;
mod table;
mod tls;
mod traces;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

pub use admin::Admin;
pub use audit::{Audit, AuditedUser};
pub use cache::{Cache, Redis, RedisDeployment, SealingKey};
pub use clients::{CallerAuthentication, CertificateName, Client, Selection};
pub use connection::Connection;
pub use exchange::ExchangeLimits;
pub use file::{KeyFile, RotatedSecret, SecretFile, TextFile};
pub use home::{BrokerNamedIn, DelegatedTokens, Home, Introspection, RevokedTokenTakes, TokenProfile};
pub use idm::Idm;
pub use log::{Log, LogFormat};
pub use partner::{
    PartnerDefaults, PartnerFile, conflicts, id_of, load_partner, parse_partner, partner_files,
};
pub use preset::{guess_preset, preset_authentication, presets};
pub use problem::{Problem, Problems};
pub use registration::{
    AssertionAudience, Authentication, ClientAssertion, CredentialsEncoding, Registration,
};
pub use rules::Rule;
pub use scopes::Scopes;
pub use security_token::SecurityToken;
pub use server::Server;
pub use signing::SigningKeyFile;
pub use tls::ListenerTls;
pub use traces::{Collector, Told, Traces};

use file::NamedFile;
use findings::Findings;
use layer::{FLAG, Layer, Tree};

/// The embedded defaults: a configuration that runs as it is.
const DEFAULT: &str = include_str!("../../config/default.toml");
/// How problems would name it.
const EMBEDDED: &str = "embedded config/default.toml";
/// Where an operator's file is looked for when none is named.
const USUAL_FILE: &str = "config/broker.toml";

/// Where a configuration comes from.
#[derive(Clone, Default)]
pub struct Sources {
    /// Broker files, the later over the earlier.
    pub files: Vec<PathBuf>,
    /// Environment variables; those without the prefix `MCX_BROKER__` are not looked at.
    pub environment: Vec<(String, String)>,
    /// Dotted keys with values, from flags.
    pub overrides: Vec<(String, String)>,
    /// The directory of the partner files, from a flag.
    pub partners: Option<PathBuf>,
    /// Whether a client or a rule may name a partner that has no file yet: for who is about to write it.
    pub may_name_unknown_partners: bool,
}

impl Configuration {
    /// The file that an operator changes: the last one, which counts most.
    pub fn broker_file(&self) -> String {
        let last = self.sources.files.last();
        last.map_or_else(|| "the broker file".to_owned(), |path| path.display().to_string())
    }
}

impl Sources {
    /// `config/broker.toml`, if it is there: what is read when no file is named.
    pub fn usual_file() -> Option<PathBuf> {
        Some(PathBuf::from(USUAL_FILE)).filter(|path| path.exists())
    }
}

impl fmt::Debug for Sources {
    /// Variables and flags may be secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sources")
            .field("files", &self.files)
            .field("partners", &self.partners)
            .finish_non_exhaustive()
    }
}

/// Everything that an operator can say.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where it came from, to be looked at again.
    pub sources: Sources,
    /// The public listener.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// Logs.
    pub log: Log,
    /// The audit log.
    pub audit: Audit,
    /// Traces.
    pub traces: Traces,
    /// Where the partner files are.
    pub partners_directory: PathBuf,
    /// The home domain.
    pub home: Home,
    /// The broker's own keys; empty: one is made at the start.
    pub signing: Vec<SigningKeyFile>,
    /// Who may call.
    pub clients: Vec<Client>,
    /// Which users may have tokens of which partners.
    pub rules: Vec<Rule>,
    /// Where tokens are kept.
    pub cache: Cache,
    /// The partners, disabled ones too, by id.
    pub partners: Vec<PartnerFile>,
    /// What a partner file that changes later is loaded with.
    pub partner_defaults: PartnerDefaults,
    /// Partner files that cannot be used.
    pub unusable_partners: Vec<UnusablePartner>,
    /// Every file that was read, for who looks whether one has changed.
    pub files: Vec<PathBuf>,
    /// What is odd but works, partners included.
    pub warnings: Vec<Problem>,
}

/// A partner file that cannot be used.
#[derive(Debug, Clone)]
pub struct UnusablePartner {
    /// The partner's id; empty: the file's name is none.
    pub id: String,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// The broker file: what a home domain states.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct BrokerTable {
    /// The public listener.
    server: server::ServerTable,
    /// The listener for operators.
    admin: admin::AdminTable,
    /// What is demanded of the files that hold secrets.
    secrets: secrets::SecretsTable,
    /// Logs.
    log: Log,
    /// The audit log.
    audit: audit::AuditTable,
    /// Traces of requests.
    traces: traces::TracesTable,
    /// Where the partner files are.
    partners: PartnersTable,
    /// The identity domain whose users the broker serves.
    home: home::HomeTable,
    /// The broker's own keys.
    signing: signing::SigningTable,
    /// Who may call the broker, and for which partners.
    clients: Vec<clients::ClientTable>,
    /// Which users may have tokens of which partners.
    rules: Vec<rules::RuleTable>,
    /// Where tokens are kept.
    cache: cache::CacheTable,
}

/// Where the partner files are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
struct PartnersTable {
    /// Where the partner files are; `--partners` overrides it.
    directory: NamedFile,
}

impl Default for PartnersTable {
    fn default() -> Self {
        Self { directory: NamedFile("partners".into()) }
    }
}

/// Loads the broker's configuration and every partner file.
///
/// # Errors
/// Every problem of every file.
pub fn load(sources: &Sources) -> Result<Configuration, Problems> {
    let mut loaded = load_tolerating_partners(sources)?;
    let partners = loaded.unusable_partners.drain(..);
    let problems: Vec<Problem> = partners.flat_map(|partner| partner.problems).collect();
    if problems.is_empty() { Ok(loaded) } else { Err(Problems(problems)) }
}

/// The same while the broker runs: what is wrong with one partner's file concerns that partner alone, and is told in
/// [`Configuration::unusable_partners`].
///
/// # Errors
/// Every problem of the broker's own files.
pub fn load_tolerating_partners(sources: &Sources) -> Result<Configuration, Problems> {
    let mut problems = Vec::new();
    let mut tree = broker_tree(sources, &mut problems);
    let Some(table) = read::read::<BrokerTable>(&mut tree, &mut problems) else {
        return Err(Problems(problems));
    };
    let mut findings = Findings::new(&tree, table.secrets.readable_by_others, problems);
    let signs = !table.signing.keys.is_empty();
    let server = table.server.resolve(&mut findings);
    let admin = table.admin.resolve(&mut findings);
    table.log.check(&mut findings);
    let home = table.home.resolve(&mut findings, signs);
    let signing = table.signing.resolve(&mut findings);
    let cache = table.cache.resolve(&mut findings);
    let traces = table.traces.resolve(&mut findings);
    let mut partner_defaults =
        PartnerDefaults::new(&home, &server.issuer, signs, tree.layer("home.security_token"));
    partner_defaults.readable_by_others = table.secrets.readable_by_others;
    let partners_directory = sources.partners.clone().unwrap_or(table.partners.directory.0);
    let required = sources.partners.is_some() || findings.is_stated("partners.directory");
    let files = partner_paths(&partners_directory, required, &mut findings);
    let mut known: BTreeSet<String> = files.iter().filter_map(|path| id_of(path)).collect();
    if sources.may_name_unknown_partners {
        known.extend(clients::partners(&table.clients).chain(rules::partners(&table.rules)).cloned());
    }
    let rules = rules::resolve(table.rules, &clients::ids(&table.clients), &known, &mut findings);
    let clients = clients::resolve(table.clients, &known, &mut findings);
    let Findings { problems, mut warnings, files: mut files_read, .. } = findings;
    files_read.extend(sources.files.iter().chain(&files).cloned());
    let (mut partners, mut unusable_partners) = (Vec::new(), Vec::new());
    for path in &files {
        match load_partner(path, &partner_defaults) {
            Ok(partner) => {
                warnings.extend(partner.warnings.iter().cloned());
                files_read.extend(partner.files.iter().cloned());
                partners.push(partner);
            }
            Err(Problems(problems)) => {
                unusable_partners.push(UnusablePartner { id: id_of(path).unwrap_or_default(), problems });
            }
        }
    }
    for (id, problem) in conflicts(&partners) {
        partners.retain(|partner| partner.id != id);
        unusable_partners.push(UnusablePartner { id, problems: vec![problem] });
    }
    if !problems.is_empty() {
        let of_partners = unusable_partners.into_iter().flat_map(|partner| partner.problems);
        return Err(Problems(problems.into_iter().chain(of_partners).collect()));
    }
    Ok(Configuration {
        sources: sources.clone(),
        server,
        admin,
        log: table.log,
        audit: table.audit.resolve(),
        traces,
        partners_directory,
        home,
        signing,
        clients,
        rules,
        cache,
        partners,
        partner_defaults,
        unusable_partners,
        files: files_read,
        warnings,
    })
}

/// All layers of the broker file, merged.
fn broker_tree(sources: &Sources, problems: &mut Vec<Problem>) -> Tree {
    let mut layers = Vec::new();
    for path in &sources.files {
        let name = path.display().to_string();
        let layer = file::read(path)
            .map_err(|(problem, remedy)| Problem::new(&name, "", problem, remedy))
            .and_then(|text| Layer::from_toml(&text, &name));
        match layer {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    let overrides = sources.overrides.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    layers.extend(Layer::from_environment(&sources.environment, problems));
    layers.extend(Layer::from_pairs(overrides, FLAG, problems));
    let missing_go_to = sources.files.last().map_or(USUAL_FILE.into(), |path| path.display().to_string());
    // The preset is named by the layers over it.
    let stated = Tree::new(layers.iter().cloned(), missing_go_to.clone());
    let home = stated.layer("home");
    let preset = match home.text("preset").filter(|name| !name.is_empty()) {
        Some(name) => preset::layer(name, "home").unwrap_or_else(|(problem, remedy)| {
            problems.push(Problem::new(stated.file_of("home.preset"), "home.preset", problem, remedy));
            Layer::default()
        }),
        None => Layer::default(),
    };
    let defaults = Layer::from_toml(DEFAULT, EMBEDDED).unwrap_or_else(|problem| {
        problems.push(problem);
        Layer::default()
    });
    Tree::new([defaults, preset.under("home")].into_iter().chain(layers), missing_go_to)
}

/// The partner files. A directory that nobody names need not be there.
fn partner_paths(directory: &Path, required: bool, findings: &mut Findings<'_>) -> Vec<PathBuf> {
    partner_files(directory).unwrap_or_else(|error| {
        let problem = format!("{} cannot be read ({})", directory.display(), error.kind());
        let remedy = "create the directory, or name another with --partners";
        if required || error.kind() != std::io::ErrorKind::NotFound {
            findings.fault("partners.directory", problem, remedy);
        } else {
            findings.warn("partners.directory", problem, remedy);
        }
        Vec::new()
    })
}
