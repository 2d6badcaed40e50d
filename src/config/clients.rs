//! `[[clients]]`: who may call the broker, and for which partners.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use url::{Host, Url};

use super::file::{NamedFile, TextFile};
use super::findings::Findings;
use super::registration::{Method, check_algorithms, secret_of};
use super::schema::AlgorithmName;
use super::value::{self, ALGORITHMS, texts};
use crate::oauth::scope::ScopeSet;
use crate::secret::Secret;

/// A client of the broker.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its identifier, the same as at the home IdM.
    pub id: String,
    /// How it proves who it is.
    pub authentication: CallerAuthentication,
    /// The partners that it may ask for. Default: none.
    pub partners: Selection,
    /// The scopes that it may ask for; `None`: what each partner allows.
    pub scopes: Option<ScopeSet>,
    /// The clients whose home tokens it may present. Default: itself only, so that a stolen token is of no use to
    /// another client (the confused deputy).
    pub subject_clients: Selection,
    /// Whether it may send `actor_token` (RFC 8693 §2.1). Default: no.
    pub actor_tokens: bool,
    /// How often it may ask; `None`: as often as it likes.
    pub requests_per_second: Option<NonZeroU32>,
}

/// Client authentication, inbound.
#[derive(Debug, Clone)]
pub enum CallerAuthentication {
    /// A public native client: the subject token's own client id must be its own.
    None,
    /// RFC 6749 §2.3.1, in the header.
    ClientSecretBasic(Vec<Secret>),
    /// RFC 6749 §2.3.1, in the body.
    ClientSecretPost(Vec<Secret>),
    /// RFC 7523 §2.2.
    PrivateKeyJwt {
        /// The client's public keys.
        jwks: TextFile,
        /// Accepted algorithms, all asymmetric.
        algorithms: Vec<String>,
    },
    /// RFC 8705 §2.1.
    TlsClientAuth(CertificateName),
}

/// The name that a client's certificate must have (RFC 8705 §2.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// The subject, as RFC 4514 writes it.
    SubjectDn(String),
    /// A DNS name among the alternative names.
    SanDns(String),
    /// A URI among the alternative names.
    SanUri(String),
}

/// All, or these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// `["*"]`.
    All,
    /// These only.
    Only(BTreeSet<String>),
}

impl Selection {
    /// Whether `name` is selected.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// A client of the broker.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub(super) struct ClientTable {
    /// The client id, as the home server has it.
    id: String,
    /// How it proves itself; required.
    authentication: Option<Method>,
    /// The client secret, for `client_secret_basic` and `client_secret_post`; better `secret_file`.
    secret: Option<Secret>,
    /// The client secret, from a file.
    secret_file: Option<NamedFile>,
    /// Another secret that counts as well, while the client goes over from one to the other.
    second_secret_file: Option<NamedFile>,
    /// The client's public keys, for `private_key_jwt`.
    jwks_file: Option<NamedFile>,
    /// Signature algorithms accepted for its assertions.
    #[schemars(with = "Vec<AlgorithmName>")]
    algorithms: Option<Vec<String>>,
    /// The subject that its certificate must have, as RFC 4514 writes it.
    tls_client_auth_subject_dn: String,
    /// A DNS name that its certificate must have, compared without case; no pattern, neither here nor there.
    tls_client_auth_san_dns: String,
    /// A URI that its certificate must have, compared character by character.
    tls_client_auth_san_uri: String,
    /// Partners it may ask for; `["*"]`: all.
    partners: Vec<String>,
    /// Scopes it may ask for.
    #[serde(deserialize_with = "value::OptionalScopes::deserialize")]
    #[schemars(with = "value::OptionalScopes")]
    scopes: Option<ScopeSet>,
    /// Whose home tokens it may present; `["*"]`: anybody's, not with `authentication = "none"`.
    subject_clients: Option<Vec<String>>,
    /// Whether it may say who acts for a user (`actor_token`, RFC 8693 section 2.1).
    actor_tokens: bool,
    /// More are answered 429, with a burst of one second's worth; counted per replica, after authentication.
    requests_per_second: u32,
}

/// Resolves all clients; `partners` are the ids that have a file.
pub(super) fn resolve(
    tables: Vec<ClientTable>,
    partners: &BTreeSet<String>,
    findings: &mut Findings<'_>,
) -> Vec<Client> {
    let mut seen = BTreeSet::new();
    let mut clients = Vec::new();
    for (number, table) in tables.into_iter().enumerate() {
        let at = format!("clients[{number}]");
        findings.required(
            &format!("{at}.id"),
            &table.id,
            "write the client's id at the home identity server",
        );
        findings.demand(
            table.id.is_empty() || seen.insert(table.id.clone()),
            &format!("{at}.id"),
            "is the id of another client too",
            "state each client once",
        );
        table.check_partners(findings, &at, partners);
        clients.extend(table.resolve(findings, &at));
    }
    clients
}

/// The ids that are stated.
pub(super) fn ids(clients: &[ClientTable]) -> BTreeSet<String> {
    clients.iter().map(|client| client.id.clone()).collect()
}

/// The partners that are named.
pub(super) fn partners(clients: &[ClientTable]) -> impl Iterator<Item = &String> {
    clients.iter().flat_map(|client| &client.partners)
}

impl ClientTable {
    /// A client that names a partner without a file was meant for another: a slip of the pen would silently take its
    /// access away.
    fn check_partners(&self, findings: &mut Findings<'_>, at: &str, known: &BTreeSet<String>) {
        for (number, name) in self.partners.iter().enumerate() {
            findings.demand(
                name == "*" || known.contains(name),
                &format!("{at}.partners[{number}]"),
                "names a partner that has no file",
                "add partners/<id>.toml, or correct the name",
            );
        }
    }

    fn resolve(self, findings: &mut Findings<'_>, at: &str) -> Option<Client> {
        let authentication = self.authentication(findings, at);
        let partners_key = format!("{at}.partners");
        findings.entries(&partners_key, &self.partners);
        let partners = selection(findings, &partners_key, &self.partners);
        let subjects_key = format!("{at}.subject_clients");
        let subject_clients = match &self.subject_clients {
            None => Selection::Only(BTreeSet::from([self.id.clone()])),
            Some(names) => selection(findings, &subjects_key, names),
        };
        if self.authentication == Some(Method::None) {
            let own = Selection::Only(BTreeSet::from([self.id.clone()]));
            findings.demand(
                subject_clients == own,
                &subjects_key,
                "lets a client that proves nothing present other clients' tokens",
                "remove it, or give the client a secret or a key",
            );
        }
        Some(Client {
            id: self.id,
            authentication: authentication?,
            partners,
            scopes: self.scopes,
            subject_clients,
            actor_tokens: self.actor_tokens,
            requests_per_second: NonZeroU32::new(self.requests_per_second),
        })
    }

    /// The one name that is stated; exactly one must be where it is `used`, and none elsewhere.
    fn certificate_name(&self, findings: &mut Findings<'_>, at: &str, used: bool) -> Option<CertificateName> {
        type Make = fn(String) -> CertificateName;
        let names: [(&str, &String, Make); 3] = [
            ("tls_client_auth_subject_dn", &self.tls_client_auth_subject_dn, CertificateName::SubjectDn),
            ("tls_client_auth_san_dns", &self.tls_client_auth_san_dns, CertificateName::SanDns),
            ("tls_client_auth_san_uri", &self.tls_client_auth_san_uri, CertificateName::SanUri),
        ];
        let stated: Vec<_> = names.into_iter().filter(|(_, name, _)| !name.is_empty()).collect();
        let keep = if used { stated.len().min(1) } else { 0 };
        for (key, ..) in &stated[keep..] {
            let (problem, remedy) = if used {
                ("is stated, and another name too: one alone says whose certificate it is", "keep one")
            } else {
                (
                    "is stated, but the authentication method does not use it",
                    "remove it, or state authentication = \"tls_client_auth\"",
                )
            };
            findings.fault(&format!("{at}.{key}"), problem, remedy);
        }
        findings.demand(
            !used || !stated.is_empty(),
            &format!("{at}.tls_client_auth_subject_dn"),
            "is missing, and tls_client_auth needs the name of a certificate",
            "state it, or tls_client_auth_san_dns, or tls_client_auth_san_uri",
        );
        let (_, name, make) = stated.first().filter(|_| keep == 1)?;
        let name = make((*name).clone());
        name.check(findings, at);
        Some(name)
    }

    fn authentication(&self, findings: &mut Findings<'_>, at: &str) -> Option<CallerAuthentication> {
        let method_key = format!("{at}.authentication");
        let method = self.authentication.or_else(|| {
            let remedy =
                "write none, client_secret_basic, client_secret_post, private_key_jwt or tls_client_auth";
            findings.fault(&method_key, "is missing", remedy);
            None
        })?;
        let secret = secret_of(findings, at, method, self.secret.as_ref(), self.secret_file.as_ref());
        let name = self.certificate_name(findings, at, method == Method::TlsClientAuth);
        findings.demand(
            self.second_secret_file.is_none()
                || matches!(method, Method::ClientSecretBasic | Method::ClientSecretPost),
            &format!("{at}.second_secret_file"),
            "is stated, but the authentication method does not use it",
            "remove it",
        );
        match method {
            Method::None => Some(CallerAuthentication::None),
            Method::ClientSecretBasic => {
                Some(CallerAuthentication::ClientSecretBasic(self.with_second(findings, at, secret?)?))
            }
            Method::ClientSecretPost => {
                Some(CallerAuthentication::ClientSecretPost(self.with_second(findings, at, secret?)?))
            }
            Method::TlsClientAuth => {
                findings.demand(
                    findings.is_stated("server.tls.client_ca_file"),
                    &method_key,
                    "needs client certificates, which the listener does not ask for",
                    "state client_ca_file in [server.tls]; behind a proxy that ends TLS, write private_key_jwt",
                );
                name.map(CallerAuthentication::TlsClientAuth)
            }
            Method::PrivateKeyJwt => {
                let jwks_key = format!("{at}.jwks_file");
                findings.demand(
                    self.jwks_file.is_some(),
                    &jwks_key,
                    "is missing, and private_key_jwt needs it",
                    "name a file with the client's public key set (RFC 7517)",
                );
                let algorithms = self.algorithms.clone().unwrap_or_else(|| texts(&ALGORITHMS));
                check_algorithms(findings, &format!("{at}.algorithms"), &algorithms);
                let jwks = findings.text_file(&jwks_key, self.jwks_file.as_ref())?;
                Some(CallerAuthentication::PrivateKeyJwt { jwks, algorithms })
            }
        }
    }

    /// The secret, and the other one that counts while a client goes over from one to the next.
    fn with_second(&self, findings: &mut Findings<'_>, at: &str, secret: Secret) -> Option<Vec<Secret>> {
        let Some(named) = &self.second_secret_file else { return Some(vec![secret]) };
        let second = findings.secret(&format!("{at}.second_secret"), None, Some(named))?;
        Some(vec![secret, second])
    }
}

impl CertificateName {
    /// That a certificate can have it at all. A distinguished name is looked at by who compares it.
    fn check(&self, findings: &mut Findings<'_>, at: &str) {
        match self {
            Self::SubjectDn(_) => {}
            Self::SanDns(name) => findings.demand(
                !name.contains('*')
                    && matches!(Host::parse(name), Ok(Host::Domain(host)) if host.eq_ignore_ascii_case(name)),
                &format!("{at}.tls_client_auth_san_dns"),
                "is not the DNS name of one host",
                "write it as the certificate has it: no pattern, no address, xn-- for other letters than ASCII",
            ),
            Self::SanUri(uri) => findings.demand(
                Url::parse(uri).is_ok(),
                &format!("{at}.tls_client_auth_san_uri"),
                "is not a URI",
                "write it as the certificate has it, with its scheme",
            ),
        }
    }
}

pub(super) fn selection(findings: &mut Findings<'_>, key: &str, names: &[String]) -> Selection {
    if !names.iter().any(|name| name == "*") {
        return Selection::Only(names.iter().cloned().collect());
    }
    findings.demand(
        names.len() == 1,
        key,
        "has names beside \"*\"",
        "write [\"*\"] alone for all, or the names",
    );
    Selection::All
}
