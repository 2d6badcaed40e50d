//! The partner file: its text, and how it comes to its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::Value;

use crate::cli::private_file::Existing;
use crate::random;

/// What the file is to say.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) id: String,
    pub(super) display_name: Option<String>,
    pub(super) resource: String,
    pub(super) domains: Vec<String>,
    pub(super) preset: Option<String>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) method: Option<String>,
    /// The preset says so: it need not be repeated.
    pub(super) is_of_preset: bool,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) source: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_http: bool,
}

impl Definition {
    /// Every value is written by the TOML library: none can begin a line, a table or a comment of its own.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![
            "#:schema ./partner.json".to_owned(),
            "# Written by `partners add`. Every key: docs/configuration.md. Editors complete the keys once the schema is here:".to_owned(),
            "#   mcx-token-broker partners schema > partner.json".to_owned(),
        ];
        lines.extend(self.display_name.as_ref().map(|name| key("display_name", name.as_str(), "for people")));
        lines.push(key(
            "resource",
            self.resource.as_str(),
            "what clients send, and what the security token's aud carries",
        ));
        if !self.domains.is_empty() {
            lines.push(key("domains", list(&self.domains), "accepted as `audience`"));
        }
        if let Some(preset) = &self.preset {
            lines.push(key(
                "preset",
                preset.as_str(),
                "what is known of the product: `partners schema --preset` prints it",
            ));
        }
        lines.push("\n[idm]".to_owned());
        lines.push(key("issuer", self.issuer.as_str(), "to the character; endpoints come from its metadata"));
        lines.push("\n[client]".to_owned());
        lines.push(key("id", self.client_id.as_str(), "our registration there (B.6)"));
        if let Some(method) = self.method.as_ref().filter(|_| !self.is_of_preset) {
            lines.push(key("authentication", method.as_str(), "how we prove it"));
        }
        if let Some(path) = &self.certificate_file {
            lines.push(key("certificate_file", path.display().to_string(), "what we show there (RFC 8705)"));
        }
        if let Some(path) = &self.secret_file {
            let is_key = matches!(self.method.as_deref(), Some("private_key_jwt" | "tls_client_auth"));
            let name = if is_key { "key_file" } else { "secret_file" };
            lines.push(key(name, path.display().to_string(), "the secret itself stays out of this file"));
        }
        if self.source.is_some() || self.audience.is_some() {
            lines.push("\n[security_token]".to_owned());
            lines.extend(self.source.as_ref().map(|source| {
                key("source", source.as_str(), "exchange: at the home IdM; mint: signed here")
            }));
            lines.extend(
                self.audience
                    .as_ref()
                    .map(|audience| key("audience", audience.as_str(), "what its aud must carry")),
            );
        }
        lines.push("\n[scopes]".to_owned());
        lines.push(key("allowed", list(&self.scopes), "what clients may ask for"));
        lines.push(key(
            "default",
            list(&self.scopes),
            "what they get when they ask for nothing in particular",
        ));
        if self.ca_file.is_some() || self.allow_http {
            lines.push("\n[connection]".to_owned());
            let ca_file = self
                .ca_file
                .as_ref()
                .map(|path| key("ca_file", path.display().to_string(), "trusted instead of the system's"));
            lines.extend(ca_file);
            if self.allow_http {
                lines.push(key("allow_http", true, "whoever is on the way reads every token"));
            }
        }
        lines.join("\n") + "\n"
    }
}

fn key(name: &str, value: impl Into<Value>, comment: &str) -> String {
    let value = value.into();
    format!("{:<52} # {comment}", format!("{name} = {value}"))
}

fn list(values: &[String]) -> Value {
    Value::Array(values.iter().cloned().map(Value::String).collect())
}

/// Writes the whole file, or nothing: a broker that runs meanwhile never reads half of it.
///
/// # Errors
/// It is there already and is to be kept, or the directory cannot be written.
pub(super) fn write(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Hidden: no partner file, whatever becomes of it.
    let beside = directory.join(format!(".{}.new", random::id()));
    let written = fs::write(&beside, text).and_then(|()| match existing {
        Existing::Replace => fs::rename(&beside, path),
        // Fails where something is there, whoever was faster.
        Existing::Keep => fs::hard_link(&beside, path),
    });
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && written.is_ok() => Err(error),
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(evil: &str) -> Definition {
        let evil = || evil.to_owned();
        Definition {
            id: "fire".to_owned(),
            display_name: Some(evil()),
            resource: evil(),
            domains: vec![evil()],
            preset: None,
            issuer: evil(),
            client_id: evil(),
            method: Some(evil()),
            is_of_preset: false,
            certificate_file: Some(PathBuf::from(evil())),
            secret_file: Some(PathBuf::from(evil())),
            source: Some(evil()),
            audience: Some(evil()),
            scopes: vec![evil(), "openid".to_owned()],
            ca_file: Some(PathBuf::from(evil())),
            allow_http: true,
        }
    }

    #[test]
    fn no_value_becomes_a_line_of_its_own() {
        for evil in [
            "plain",
            "a\"\n[grant]\ntype = \"x\"\n#",
            "'''\n[x]",
            "\"\"\"",
            "\\",
            "\u{7f}\u{0}\t",
            "# x",
            "ü",
        ] {
            let table: toml::Table = definition(evil).text().parse().unwrap();
            let keys: Vec<&str> = table.keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                [
                    "client",
                    "connection",
                    "display_name",
                    "domains",
                    "idm",
                    "resource",
                    "scopes",
                    "security_token"
                ]
            );
            assert_eq!(table["idm"]["issuer"].as_str(), Some(evil));
            assert_eq!(table["scopes"]["allowed"][0].as_str(), Some(evil));
        }
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_it_is_to_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fire.toml");
        write(&path, "first", Existing::Keep).unwrap();
        let refused = write(&path, "second", Existing::Keep).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        write(&path, "second", Existing::Replace).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
