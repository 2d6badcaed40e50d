//! `[server.tls]` and `[admin.tls]`: the certificate of a listener, and whose certificates it takes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::{KeyFile, NamedFile, TextFile};
use super::findings::Findings;

/// TLS of a listener.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// PEM, leaf first.
    pub certificate: TextFile,
    /// PEM.
    pub key: KeyFile,
    /// PEM of the CAs of client certificates; `None`: none are asked for.
    pub client_ca: Option<TextFile>,
}

/// The certificate of a listener, and whose certificates it takes.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
#[expect(clippy::struct_field_names, reason = "they are the keys")]
pub(super) struct TlsTable {
    /// PEM chain, leaf first.
    certificate_file: Option<NamedFile>,
    /// PEM private key.
    key_file: Option<NamedFile>,
    /// PEM certificates of the CAs of client certificates. With it the listener asks for one. At the admin listener
    /// whoever shows one of theirs may do everything, so it is not the CA of clients.
    client_ca_file: Option<NamedFile>,
}

impl TlsTable {
    /// `at`: the table's name.
    pub(super) fn resolve(self, at: &str, findings: &mut Findings<'_>) -> Option<ListenerTls> {
        let key_of = |name: &str| format!("{at}.{name}");
        let (certificate_key, key_key) = (key_of("certificate_file"), key_of("key_file"));
        for (key, named) in [(&certificate_key, &self.certificate_file), (&key_key, &self.key_file)] {
            findings.demand(named.is_some(), key, "is missing", format!("name a PEM file, or remove [{at}]"));
        }
        let certificate = findings.text_file(&certificate_key, self.certificate_file.as_ref());
        let key = findings.key_file(&key_key, self.key_file.as_ref());
        let client_ca = findings.text_file(&key_of("client_ca_file"), self.client_ca_file.as_ref());
        Some(ListenerTls { certificate: certificate?, key: key?, client_ca })
    }
}
