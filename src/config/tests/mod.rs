//! The configuration as an operator meets it: files in a directory, and what is said about them.

mod files;
mod layers;
mod partners;
mod presets;
mod problems;
mod reference;
mod rules;
mod schema;
mod secrets;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A partner file that needs nothing else.
pub(super) const FIRE: &str = r#"
resource = "https://idm.fire.example"
[idm]
issuer = "https://idm.fire.example"
[client]
id = "mcx-home"
secret = "fire secret"
[security_token]
source = "mint"
[scopes]
allowed = ["openid", "3gpp:mc:ptt_group_management_service"]
default = ["3gpp:mc:ptt_group_management_service"]
"#;

/// A directory with `broker.toml` and `partners/`.
pub(super) struct Setup {
    directory: TempDir,
    pub(super) sources: Sources,
}

impl Setup {
    pub(super) fn new(broker: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("partners")).unwrap();
        let sources = Sources {
            files: vec![directory.path().join("broker.toml")],
            partners: Some(directory.path().join("partners")),
            ..Sources::default()
        };
        Self { directory, sources }.file("broker.toml", broker)
    }

    pub(super) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.directory.path().join(name), content).unwrap();
        self.mode(name, 0o600)
    }

    /// Who may do what with a file.
    pub(super) fn mode(self, name: &str, mode: u32) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.directory.path().join(name), permissions).unwrap();
        self
    }

    pub(super) fn partner(self, id: &str, text: &str) -> Self {
        self.file(&format!("partners/{id}.toml"), text)
    }

    pub(super) fn environment(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn load(&self) -> Configuration {
        load(&self.sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    pub(super) fn problems(&self) -> Problems {
        load(&self.sources).map(|_| ()).expect_err("the configuration has no problem")
    }

    /// File (relative to the directory) and key of each problem.
    pub(super) fn complaints(&self) -> Vec<(String, String)> {
        let root = format!("{}/", self.path().display());
        let problems = self.problems().into_iter();
        problems.map(|problem| (problem.file.replace(&root, ""), problem.key)).collect()
    }

    /// The keys of all problems.
    pub(super) fn keys(&self) -> Vec<String> {
        self.complaints().into_iter().map(|(_, key)| key).collect()
    }
}

/// A partner file on its own, with the defaults of an unconfigured broker.
pub(super) fn partner(text: &str) -> Result<PartnerFile, Problems> {
    let defaults = Setup::new("[home.client]\nid = \"broker\"\nsecret = \"s\"\n").load().partner_defaults;
    partner::parse_partner(&PathBuf::from("fire.toml"), text, &defaults)
}
