//! `credentials`: what the servers of a trial federation show each other, made anew for each trial.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::super::keys::random_hex;
use super::super::output;
use super::super::private_file::{self, Existing};
use crate::jose::{Algorithm, SigningKey};
use crate::sandbox::Authority;
use crate::secret::Secret;

const HELP: &str = "\
The plan is TOML; all paths are below the directory:
  [certificates]   directory = host names: tls.crt and tls.key there, from an authority whose key is not kept
  [signing_keys]   file of a private key = file of its public key set
  [files]          file = text, in which {name} is a random secret: the same one wherever that name stands
  authority        file of the authority's certificate
What is there is kept until the plan changes; then all of it is made anew.

Example:
  mcx-token-broker credentials --plan config/compose/credentials.toml --directory /credentials";

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Credentials {
    /// What to make
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// Where
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    authority: PathBuf,
    certificates: BTreeMap<PathBuf, Vec<String>>,
    #[serde(default)]
    signing_keys: BTreeMap<PathBuf, PathBuf>,
    #[serde(default)]
    files: BTreeMap<PathBuf, String>,
}

impl Credentials {
    pub(in crate::cli) fn run(&self) -> anyhow::Result<ExitCode> {
        let named = || self.plan.display().to_string();
        let text = fs::read_to_string(&self.plan).with_context(named)?;
        let plan: Plan = toml::from_str(&text).with_context(named)?;
        let made_from = self.directory.join(&plan.authority).with_extension("plan");
        if fs::read_to_string(&made_from).is_ok_and(|made| made == text) {
            output::line("credentials: there already")?;
            return Ok(ExitCode::SUCCESS);
        }
        plan.carry_out(&self.directory)?;
        // Last: what was interrupted is made again.
        publish(&made_from, &text)?;
        output::line("credentials: made")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Plan {
    fn carry_out(&self, directory: &Path) -> anyhow::Result<()> {
        let authority = Authority::new()?;
        publish(&directory.join(&self.authority), &authority.pem()?)?;
        for (place, names) in &self.certificates {
            let identity = authority.issue(names).with_context(|| place.display().to_string())?;
            let place = directory.join(place);
            publish(&place.join("tls.crt"), &identity.certificate)?;
            keep_secret(&place.join("tls.key"), &identity.key)?;
        }
        for (private, public) in &self.signing_keys {
            let key = SigningKey::generate(Algorithm::Rs256)?;
            keep_secret(&directory.join(private), key.private_pem())?;
            publish(&directory.join(public), &json!({ "keys": [key.public_jwk()] }).to_string())?;
        }
        let mut secrets = BTreeMap::new();
        for (path, template) in &self.files {
            let text = filled_in(template, &mut secrets)
                .map_err(|reason| anyhow!("{}: {reason}", path.display()))?;
            keep_secret(&directory.join(path), &text)?;
        }
        Ok(())
    }
}

/// `template` with secrets in place of their names.
fn filled_in(template: &str, secrets: &mut BTreeMap<String, Secret>) -> Result<Secret, &'static str> {
    let mut parts = template.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').ok_or("a { without }")?;
        text.push_str(secrets.entry(name.to_owned()).or_insert_with(random_hex).expose());
        text.push_str(rest);
    }
    Ok(Secret::from(text))
}

fn publish(path: &Path, text: &str) -> anyhow::Result<()> {
    make_directory(path)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn keep_secret(path: &Path, text: &Secret) -> anyhow::Result<()> {
    make_directory(path)?;
    private_file::write(path, text, Existing::Replace)
}

fn make_directory(of: &Path) -> anyhow::Result<()> {
    let directory = of.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use openssl::x509::X509;

    use super::super::signing_key;
    use super::*;

    const PLAN: &str = r#"
        authority = "trust/ca.pem"
        [certificates]
        home = ["idm.home.localhost", "localhost"]
        [signing_keys]
        "home/signing.pem" = "trust/home-jwks.json"
        [files]
        "home/client" = "{client}"
        "broker/home" = "{client}"
        "redis/users.acl" = "user broker on >{redis} ~mcx:* # {client}\n"
    "#;

    struct Place(tempfile::TempDir);

    impl Place {
        fn make(&self, plan: &str) -> anyhow::Result<ExitCode> {
            let file = self.0.path().join("plan.toml");
            fs::write(&file, plan).unwrap();
            Credentials { plan: file, directory: self.0.path().join("made") }.run()
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("made").join(name)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }
    }

    #[test]
    fn who_shares_a_secret_has_the_same_and_only_its_owner_reads_it() {
        let place = Place(tempfile::tempdir().unwrap());
        place.make(PLAN).unwrap();
        let client = place.read("home/client");
        assert_eq!((client.len(), &client), (64, &place.read("broker/home")));
        let acl = place.read("redis/users.acl");
        assert!(
            acl.starts_with("user broker on >") && acl.ends_with(&format!(" ~mcx:* # {client}\n")),
            "{acl}"
        );
        assert!(!acl.contains(&format!(">{client}")), "another secret");
        for secret in ["home/client", "broker/home", "redis/users.acl", "home/tls.key", "home/signing.pem"] {
            assert_eq!(
                fs::metadata(place.path(secret)).unwrap().permissions().mode() & 0o777,
                0o600,
                "{secret}"
            );
        }
        let key = signing_key(&place.path("home/signing.pem")).unwrap();
        assert!(place.read("trust/home-jwks.json").contains(key.kid()));
        assert!(!place.read("trust/home-jwks.json").contains("\"d\""), "only what is public");
    }

    #[test]
    fn a_certificate_is_the_authoritys_and_for_its_names() {
        let place = Place(tempfile::tempdir().unwrap());
        place.make(PLAN).unwrap();
        let read = |name: &str| X509::from_pem(place.read(name).as_bytes()).unwrap();
        let (authority, certificate) = (read("trust/ca.pem"), read("home/tls.crt"));
        assert!(certificate.verify(&authority.public_key().unwrap()).unwrap());
        let names = certificate.subject_alt_names().unwrap();
        let names: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
        assert_eq!(names, ["idm.home.localhost", "localhost"]);
        assert!(!certificate.verify(&certificate.public_key().unwrap()).unwrap());
    }

    #[test]
    fn what_is_there_stays_until_the_plan_is_another() {
        let place = Place(tempfile::tempdir().unwrap());
        place.make(PLAN).unwrap();
        let (authority, client) = (place.read("trust/ca.pem"), place.read("home/client"));
        place.make(PLAN).unwrap();
        assert_eq!(
            (place.read("trust/ca.pem"), place.read("home/client")),
            (authority.clone(), client.clone())
        );
        place.make(&PLAN.replace("localhost", "example")).unwrap();
        assert_ne!(place.read("trust/ca.pem"), authority);
        assert_ne!(place.read("home/client"), client);
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_named() {
        let place = Place(tempfile::tempdir().unwrap());
        for (plan, expected) in [
            ("authority = 7", "plan.toml"),
            (
                &PLAN.replace("[\"idm.home.localhost\", \"localhost\"]", "[]"),
                "home: the certificate cannot be made",
            ),
            (&PLAN.replace("\"{client}\"", "\"{client\""), "a { without }"),
        ] {
            let error = format!("{:#}", place.make(plan).unwrap_err());
            assert!(error.contains(expected), "{error}");
            assert!(!place.path("trust/ca.plan").exists(), "it is not taken for whole");
        }
    }
}
