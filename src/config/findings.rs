//! Where a section's checks report to, and the checks that several sections share.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::{Host, Url};

use super::file::{self, Exposure, KeyFile, NamedFile, RotatedSecret, SecretFile, TextFile};
use super::layer::Tree;
use super::problem::{Problem, printable};
use crate::secret::Secret;

/// The faults and warnings of one file and the layers over it.
pub(super) struct Findings<'t> {
    tree: &'t Tree,
    /// Whether files with secrets may be readable by others: `secrets.readable_by_others`.
    readable_by_others: bool,
    /// What stops the configuration from being used.
    pub(super) problems: Vec<Problem>,
    /// What an operator should know.
    pub(super) warnings: Vec<Problem>,
    /// Every file that was looked for, there or not.
    pub(super) files: Vec<PathBuf>,
}

impl<'t> Findings<'t> {
    pub(super) const fn new(tree: &'t Tree, readable_by_others: bool, problems: Vec<Problem>) -> Self {
        Self { tree, readable_by_others, problems, warnings: Vec::new(), files: Vec::new() }
    }

    /// Reports a fault of `key`.
    pub(super) fn fault(&mut self, key: &str, problem: impl Display, remedy: impl Display) {
        self.problems.push(Problem::new(
            self.tree.file_of(key),
            key,
            problem.to_string(),
            remedy.to_string(),
        ));
    }

    /// Reports a fault of `key` unless `held`.
    pub(super) fn demand(&mut self, held: bool, key: &str, problem: impl Display, remedy: impl Display) {
        if !held {
            self.fault(key, problem, remedy);
        }
    }

    /// Reports what is odd but works.
    pub(super) fn warn(&mut self, key: &str, problem: impl Display, remedy: impl Display) {
        self.warnings.push(Problem::new(
            self.tree.file_of(key),
            key,
            problem.to_string(),
            remedy.to_string(),
        ));
    }

    /// Whether the operator states `key`.
    pub(super) fn is_stated(&self, key: &str) -> bool {
        self.tree.is_stated(key)
    }

    /// A text that must be there. Says whether it is.
    pub(super) fn required(&mut self, key: &str, text: &str, remedy: &str) -> bool {
        let there = !text.trim().is_empty();
        self.demand(there, key, "is missing", remedy);
        there
    }

    /// A secret that is stated either itself or by the name of its file.
    pub(super) fn secret(
        &mut self,
        key: &str,
        inline: Option<&Secret>,
        named: Option<&NamedFile>,
    ) -> Option<Secret> {
        let file_key = format!("{key}_file");
        match (inline, named) {
            (Some(_), Some(_)) => {
                self.fault(key, format!("is stated, and {file_key} too"), "keep one of the two");
                None
            }
            (None, None) => None,
            (Some(secret), None) => {
                let there = !secret.expose().is_empty();
                self.demand(there, key, "is empty", "state the secret");
                there.then(|| secret.clone())
            }
            (None, Some(named)) => {
                self.files.push(named.0.clone());
                let secret = self.found(&file_key, file::read_secret(&named.0))?;
                self.check_exposure(&file_key, &named.0);
                Some(secret)
            }
        }
    }

    /// A secret as [`Findings::secret`], and the file that it came from, for who reads it again.
    pub(super) fn rotated_secret(
        &mut self,
        key: &str,
        inline: Option<&Secret>,
        named: Option<&NamedFile>,
    ) -> Option<RotatedSecret> {
        let secret = self.secret(key, inline, named)?;
        Some(RotatedSecret { secret, file: named.map(SecretFile::new) })
    }

    /// The content of a named file.
    pub(super) fn file(&mut self, key: &str, named: &NamedFile) -> Option<String> {
        self.files.push(named.0.clone());
        self.found(key, file::read(&named.0))
    }

    /// The content of a named file that is nobody else's business.
    pub(super) fn private_file(&mut self, key: &str, named: &NamedFile) -> Option<String> {
        let text = self.file(key, named)?;
        self.check_exposure(key, &named.0);
        Some(text)
    }

    /// Reports a file with a secret that others on this machine can get at: who can write it chooses the secret, who can
    /// read it has it. The name is shown, since a file of that name was just read: it is no secret typed into the wrong key.
    fn check_exposure(&mut self, key: &str, path: &Path) {
        let Some((exposure, mode)) = file::exposure(path) else { return };
        let name = printable(&path.display().to_string());
        let fix = format!("chmod 600 {name}");
        match exposure {
            Exposure::Writable => {
                self.fault(key, format!("{name} has mode {mode:04o}: others may write it"), fix);
            }
            Exposure::Readable if self.readable_by_others => {}
            Exposure::Readable => {
                let remedy =
                    format!("{fix}; where a container mounts it so, secrets.readable_by_others = true");
                self.warn(key, format!("{name} has mode {mode:04o}: others may read it"), remedy);
            }
        }
    }

    fn found<T>(&mut self, key: &str, read: Result<T, (String, String)>) -> Option<T> {
        read.map_err(|(problem, remedy)| self.fault(key, problem, remedy)).ok()
    }

    /// A named file with public content.
    pub(super) fn text_file(&mut self, key: &str, named: Option<&NamedFile>) -> Option<TextFile> {
        let named = named?;
        self.file(key, named).map(|text| TextFile { path: named.0.clone(), text })
    }

    /// A named file with a private key.
    pub(super) fn key_file(&mut self, key: &str, named: Option<&NamedFile>) -> Option<KeyFile> {
        let named = named?;
        self.private_file(key, named)
            .map(|text| KeyFile { path: named.0.clone(), content: Secret::from(text) })
    }

    /// Names or addresses of servers.
    pub(super) fn hosts(&mut self, key: &str, hosts: &[String]) {
        for (number, host) in hosts.iter().enumerate() {
            self.demand(
                Host::parse(host).is_ok(),
                &format!("{key}[{number}]"),
                "is not a host",
                "write a name or an address, without scheme, port and path",
            );
        }
    }

    /// A URL that credentials or tokens are sent to, or keys are trusted from (RFC 6749 §3.2: TLS). Plain `http` is for
    /// loopback and for who says so; user information would travel into logs, and a fragment is not allowed there.
    pub(super) fn endpoint(&mut self, key: &str, text: &str, allow_http: bool) {
        let form = "write an absolute https:// URL";
        let Ok(url) = Url::parse(text) else {
            return self.fault(key, "is not a URL", form);
        };
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return self.fault(key, "is neither an https nor an http URL", form);
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.fault(
                key,
                "carries a user name or password",
                "remove it; credentials have keys of their own",
            );
        }
        if url.fragment().is_some() {
            self.fault(key, "carries a fragment", "remove everything from # on");
        }
        if url.scheme() == "http" && !allow_http && !is_loopback(&url) {
            let remedy = "use https, or state allow_http = true in the [connection] that is meant, knowing that \
                          whoever is on the way reads every token";
            self.fault(key, "is plain http to another machine", remedy);
        }
    }

    /// A duration within bounds.
    pub(super) fn between(&mut self, key: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let (least, most) = (humantime::format_duration(least), humantime::format_duration(most));
            self.fault(key, "is out of range", format!("write a duration from {least} to {most}"));
        }
    }

    /// A list without empty or repeated entries.
    pub(super) fn entries(&mut self, key: &str, entries: &[String]) {
        let mut seen = std::collections::BTreeSet::new();
        for (number, entry) in entries.iter().enumerate() {
            if entry.trim().is_empty() {
                self.fault(&format!("{key}[{number}]"), "is empty", "remove it");
            } else if !seen.insert(entry) {
                self.fault(&format!("{key}[{number}]"), "is there twice", "remove one");
            }
        }
    }
}

/// Whether a URL stays on this machine, by the same names as `http::is_loopback_url`: what is accepted here is called.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
