//! A partner file: everything about one partner domain. The file's stem is the partner's id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::connection::{Connection, ConnectionTable};
use super::epoch::epoch;
use super::exchange::{ExchangeLimits, ExchangeTable};
use super::file;
use super::findings::Findings;
use super::grant::GrantTable;
use super::home::{Home, TokenProfile};
use super::idm::{Idm, IdmTable};
use super::layer::{Layer, Tree};
use super::placeholder::Placeholders;
use super::preset;
use super::problem::{Problem, Problems};
use super::read;
use super::registration::{Registration, RegistrationTable};
use super::schema::PresetName;
use super::scopes::Scopes;
use super::security_token::{SecurityToken, SecurityTokenTable};
use crate::oauth::grant::Grant;

/// One partner domain, with every default filled in and every named file read.
#[derive(Debug, Clone)]
pub struct PartnerFile {
    /// The file's stem.
    pub id: String,
    /// Where it was read.
    pub path: PathBuf,
    /// Changes with everything that could make a cached token another one; not with secrets.
    pub epoch: [u8; 32],
    /// A disabled partner is not served, and its faults are warnings only.
    pub enabled: bool,
    /// For people.
    pub display_name: String,
    /// What clients send as `resource` (B.7.2).
    pub resource: String,
    /// What clients may send as `audience` instead, beside the id.
    pub domains: Vec<String>,
    /// The preset under this file.
    pub preset: Option<String>,
    /// The identity server.
    pub idm: Idm,
    /// The broker's registration there.
    pub client: Registration,
    /// The first leg.
    pub security_token: SecurityToken,
    /// The second leg.
    pub grant: Grant,
    /// What may be asked.
    pub scopes: Scopes,
    /// Limits of calls.
    pub connection: Connection,
    /// Limits of whole exchanges.
    pub exchange: ExchangeLimits,
    /// Every file that it names.
    pub files: Vec<PathBuf>,
    /// What is odd but works.
    pub warnings: Vec<Problem>,
}

/// What flows from the broker file into every partner file.
#[derive(Debug, Clone)]
pub struct PartnerDefaults {
    pub(super) home_issuer: String,
    pub(super) broker_issuer: String,
    pub(super) token_profile: TokenProfile,
    /// Whether the broker can ask the home IdM.
    pub(super) home_client: bool,
    /// Whether the broker file states a signing key.
    pub(super) signs: bool,
    /// Whether files with secrets may be readable by others.
    pub(super) readable_by_others: bool,
    /// `[home.security_token]`, its preset under it.
    security_token: Layer,
}

impl PartnerDefaults {
    pub(super) fn new(home: &Home, broker_issuer: &str, signs: bool, security_token: Layer) -> Self {
        Self {
            home_issuer: home.issuer.clone(),
            broker_issuer: broker_issuer.to_owned(),
            token_profile: home.token_profile,
            home_client: home.client.is_some(),
            signs,
            readable_by_others: false,
            security_token,
        }
    }
}

/// A partner domain: `partners/<id>.toml`. The file's stem is the partner's id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct PartnerTable {
    /// Whether the partner is served. When false, other faults of the file are warnings.
    enabled: bool,
    /// The name for people; absent: the id.
    display_name: String,
    /// What clients send as `resource` (B.7.2); required, and no other enabled partner's.
    resource: String,
    /// Accepted as `audience`, beside the id; no other enabled partner's.
    domains: Vec<String>,
    /// A layer of what is known of a product: the name of a preset.
    #[schemars(with = "PresetName")]
    preset: String,
    /// The partner's identity server.
    idm: IdmTable,
    /// The broker's registration there (B.6).
    client: RegistrationTable,
    /// The first leg: how the security token is obtained, and what it must be before it is sent on (B.7.2, B.8).
    security_token: SecurityTokenTable,
    /// The second leg: how the security token is traded for an access token (B.7.4, B.7.5).
    grant: GrantTable,
    /// What may be asked.
    scopes: Scopes,
    /// Limits of calls.
    connection: ConnectionTable,
    /// Limits of whole exchanges.
    exchange: ExchangeTable,
}

impl Default for PartnerTable {
    fn default() -> Self {
        Self {
            enabled: true,
            display_name: String::new(),
            resource: String::new(),
            domains: Vec::new(),
            preset: String::new(),
            idm: IdmTable::default(),
            client: RegistrationTable::default(),
            security_token: SecurityTokenTable::default(),
            grant: GrantTable::default(),
            scopes: Scopes::default(),
            connection: ConnectionTable::default(),
            exchange: ExchangeTable::default(),
        }
    }
}

/// Loads one partner file, at the start or when it has changed.
///
/// # Errors
/// All problems of this file. A file that says `enabled = false` and can be read has none: what it says otherwise must
/// not keep a partner in service that the operator took out of it.
pub fn load_partner(path: &Path, defaults: &PartnerDefaults) -> Result<PartnerFile, Problems> {
    let name = path.display().to_string();
    let text = file::read(path)
        .map_err(|(problem, remedy)| Problems(vec![Problem::new(&name, "", problem, remedy)]))?;
    parse_partner(path, &text, defaults)
}

/// [`load_partner`] on the text of a file that need not exist.
///
/// # Errors
/// As there.
pub fn parse_partner(path: &Path, text: &str, defaults: &PartnerDefaults) -> Result<PartnerFile, Problems> {
    let name = path.display().to_string();
    let stated = Layer::from_toml(text, &name).map_err(|problem| Problems(vec![problem]))?;
    let mut problems = Vec::new();
    let preset = match stated.text("preset").filter(|preset| !preset.is_empty()) {
        Some(preset) => preset::layer(preset, "partner").unwrap_or_else(|(problem, remedy)| {
            problems.push(Problem::new(&name, "preset", problem, remedy));
            Layer::default()
        }),
        None => Layer::default(),
    };
    let home = defaults.security_token.clone().under("security_token");
    let mut tree = Tree::new([home, preset, stated], name);
    let Some(table) = read::read::<PartnerTable>(&mut tree, &mut problems) else {
        return Err(Problems(problems));
    };
    let mut findings = Findings::new(&tree, defaults.readable_by_others, problems);
    let mut partner = table.resolve(&mut findings, path, defaults);
    let Findings { problems, warnings, files, .. } = findings;
    (partner.warnings, partner.files) = (warnings, files);
    let profile = format!("{:?}", defaults.token_profile);
    partner.epoch = epoch(&tree, &[&partner.id, &defaults.home_issuer, &defaults.broker_issuer, &profile]);
    if !partner.enabled {
        partner.warnings.extend(problems);
        return Ok(partner);
    }
    if problems.is_empty() { Ok(partner) } else { Err(Problems(problems)) }
}

impl PartnerTable {
    fn resolve(self, findings: &mut Findings<'_>, path: &Path, defaults: &PartnerDefaults) -> PartnerFile {
        let id = id_of(path).unwrap_or_else(|| {
            let remedy = "name it <id>.toml; an id has a-z, 0-9, '.', '_', '-', begins with a letter or digit, and \
                          is at most 63 long";
            findings.fault("", "the file's name is not a partner id", remedy);
            String::new()
        });
        findings.required(
            "resource",
            &self.resource,
            "write what clients send as `resource` for this partner",
        );
        findings.demand(
            !self.resource.contains(char::is_whitespace),
            "resource",
            "has white space",
            "write the value as clients send it",
        );
        findings.entries("domains", &self.domains);
        self.scopes.check(findings);
        let client_id = self.client.id.clone();
        let issuer = self.idm.issuer.clone();
        let places = Placeholders::of_partner(&issuer, &self.resource, &client_id);
        PartnerFile {
            display_name: if self.display_name.is_empty() { id.clone() } else { self.display_name },
            id,
            path: path.to_owned(),
            epoch: [0; 32],
            enabled: self.enabled,
            idm: self.idm.resolve(findings, &places, self.connection.allow_http),
            client: self.client.resolve(findings, "client", defaults.signs),
            security_token: self.security_token.resolve(findings, &places, defaults, &self.resource),
            grant: self.grant.resolve(findings, &places),
            resource: self.resource,
            domains: self.domains,
            preset: (!self.preset.is_empty()).then_some(self.preset),
            scopes: self.scopes,
            connection: self.connection.resolve(findings, "connection"),
            exchange: self.exchange.resolve(findings),
            files: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// The partner id that a file's name gives; `None` when it is not one.
pub fn id_of(path: &Path) -> Option<String> {
    let id = path.file_name()?.to_str()?.strip_suffix(".toml")?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (first && id.len() <= 63 && id.bytes().all(inner)).then(|| id.to_owned())
}

/// The partner files of a directory, in the order of their names. Hidden files and other endings are not partner files.
///
/// # Errors
/// The directory cannot be read.
pub fn partner_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|ending| ending == "toml") && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What two enabled partners both claim, with the id of the second. One name must mean one partner: else a user's token would be asked of, and
/// handed to, whichever is found first.
pub fn conflicts<'p>(partners: impl IntoIterator<Item = &'p PartnerFile>) -> Vec<(String, Problem)> {
    let mut owners: BTreeMap<String, &PartnerFile> = BTreeMap::new();
    let mut problems = Vec::new();
    for partner in partners.into_iter().filter(|partner| partner.enabled) {
        let domains = partner.domains.iter().enumerate();
        let names = [(String::new(), &partner.id), ("resource".into(), &partner.resource)]
            .into_iter()
            .chain(domains.map(|(number, domain)| (format!("domains[{number}]"), domain)));
        for (key, name) in names {
            match owners.get(name) {
                Some(owner) if owner.path != partner.path => problems.push((
                    partner.id.clone(),
                    Problem::new(
                        partner.path.display().to_string(),
                        key,
                        format!("names the same partner as {}", owner.path.display()),
                        "give each enabled partner an id, a resource and domains of its own",
                    ),
                )),
                Some(_) => {}
                None => drop(owners.insert(name.clone(), partner)),
            }
        }
    }
    problems
}
