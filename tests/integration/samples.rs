//! Every configuration file that is shipped loads and can be wired, as it is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mcx_token_broker::app::App;
use mcx_token_broker::clock::Clock;
use mcx_token_broker::config::{self, Configuration, Sources};
use mcx_token_broker::jose::{Algorithm, SigningKey};

/// Where the samples say that secrets are.
const SECRETS: &str = "/run/secrets";

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn load(file: &Path) -> Configuration {
    let sources = Sources { files: vec![file.to_owned()], ..Sources::default() };
    config::load(&sources).unwrap_or_else(|problems| panic!("{}:\n{problems}", file.display()))
}

/// Nothing that is loaded may fail to be wired.
fn wires(configuration: &Configuration) {
    if let Err(problems) = App::wire(configuration, &Clock::system()) {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    }
}

#[tokio::test]
async fn the_embedded_defaults_and_the_demos_files_work_as_they_are() {
    wires(&config::load(&Sources::default()).unwrap_or_else(|problems| panic!("{problems}")));
    let demo = load(&shipped("config/demo.toml"));
    assert_eq!(demo.partners.len(), 1);
    wires(&demo);
}

#[tokio::test]
async fn the_samples_work_where_their_secrets_are() {
    let place = tempfile::tempdir().unwrap();
    let secrets = place.path().join("secrets");
    std::fs::create_dir_all(place.path().join("partners")).unwrap();
    std::fs::create_dir(&secrets).unwrap();
    for name in ["home", "dispatch", "redis", "county-fire"] {
        std::fs::write(secrets.join(name), "a secret\n").unwrap();
    }
    for (name, digit) in [("seal-2026-11", "1"), ("seal-2026-05", "2")] {
        std::fs::write(secrets.join(name), digit.repeat(64)).unwrap();
    }
    let signing = SigningKey::generate(Algorithm::Es256).unwrap();
    std::fs::write(secrets.join("signing.pem"), signing.private_pem().expose()).unwrap();
    let tls = rcgen::generate_simple_self_signed(["broker.home.example".to_owned()]).unwrap();
    std::fs::write(secrets.join("broker.crt"), tls.cert.pem()).unwrap();
    std::fs::write(secrets.join("broker.key"), tls.signing_key.serialize_pem()).unwrap();
    for secret in std::fs::read_dir(&secrets).unwrap() {
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(secret.unwrap().path(), private).unwrap();
    }
    for name in ["broker.toml", "partners/county-fire.toml"] {
        let text = std::fs::read_to_string(shipped("config/samples").join(name)).unwrap();
        let text = text.replace(SECRETS, secrets.to_str().unwrap());
        std::fs::write(place.path().join(name), text).unwrap();
    }

    for secret in std::fs::read_dir(&secrets).unwrap() {
        let owners_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(secret.unwrap().path(), owners_only).unwrap();
    }

    let configuration = load(&place.path().join("broker.toml"));

    assert_eq!(configuration.partners.len(), 1);
    assert_eq!(configuration.warnings, []);
    wires(&configuration);
}

/// With the secrets that the composition makes when it starts, and each of the caches that it can have.
#[tokio::test]
async fn the_compositions_files_work_where_its_credentials_are() {
    let place = tempfile::tempdir().unwrap();
    let made = place.path().join("credentials");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"))
        .args(["credentials", "--plan", "config/compose/credentials.toml", "--directory"])
        .arg(&made)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let caches = ["single", "sentinel", "cluster"].map(|cache| format!("compose/redis-{cache}.toml"));
    let partners = ["county-fire", "city-police"].map(|partner| format!("compose/partners/{partner}.toml"));
    std::fs::create_dir_all(place.path().join("compose/partners")).unwrap();
    for name in caches.iter().chain(&partners).map(String::as_str).chain(["compose.toml"]) {
        let text = std::fs::read_to_string(shipped("config").join(name)).unwrap();
        let text = text.replace(SECRETS, made.join("broker").to_str().unwrap());
        let text = text.replace("/run/trust", made.join("trust").to_str().unwrap());
        std::fs::write(place.path().join(name), text).unwrap();
    }
    for cache in caches {
        let files = vec![place.path().join("compose.toml"), place.path().join(cache)];
        let configuration = config::load(&Sources { files, ..Sources::default() })
            .unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(configuration.partners.len(), 2);
        assert_eq!(configuration.warnings, []);
        wires(&configuration);
    }
}

/// A certificate and its key, which belong together.
static TLS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let tls = rcgen::generate_simple_self_signed(["broker.home.example".to_owned()]).unwrap();
    [tls.cert.pem(), tls.signing_key.serialize_pem()]
});

/// The file that an operator would put there, by its name.
fn secret(name: &str) -> String {
    match name.rsplit('/').next().unwrap() {
        "signing.pem" => SigningKey::generate(Algorithm::Es256).unwrap().private_pem().expose().to_owned(),
        "seal" => "1".repeat(64),
        "broker.crt" | "tls.crt" => TLS[0].clone(),
        "broker.key" | "tls.key" => TLS[1].clone(),
        _ => "a secret\n".to_owned(),
    }
}

/// What `deploy/` has for systemd and for Kubernetes, with the secrets that it names and the modes that they have there.
#[tokio::test]
async fn the_files_of_a_deployment_work_where_their_secrets_are() {
    for (name, broker) in [
        ("deploy/systemd", "etc/mcx-token-broker/broker.toml"),
        ("deploy/kubernetes", "etc/mcx-token-broker/config/broker.toml"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let partners = place.path().join("etc/mcx-token-broker/partners");
        let broker = place.path().join(broker);
        std::fs::create_dir_all(&partners).unwrap();
        std::fs::create_dir_all(broker.parent().unwrap()).unwrap();
        let mut count = 0;
        for (from, to) in [
            ("broker.toml", broker.clone()),
            ("partners/county-fire.toml", partners.join("county-fire.toml")),
        ] {
            let text = std::fs::read_to_string(shipped(name).join(from)).unwrap();
            let text = text.replace("\"/", &format!("\"{}/", place.path().display()));
            std::fs::write(&to, &text).unwrap();
            let lines = text.lines().filter(|line| line.contains("_file"));
            for file in lines.flat_map(|line| line.split('"').skip(1).step_by(2)) {
                let path = to.parent().unwrap().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, secret(file)).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
                count += 1;
            }
        }
        assert!(count >= 6, "{name}: {count} files");

        let configuration = load(&broker);

        assert_eq!(configuration.partners.len(), 1, "{name}");
        assert_eq!(configuration.warnings, [], "{name}");
        wires(&configuration);
    }
}

/// The broker file and the five lines of a partner, as a reader of the README copies them.
#[tokio::test]
async fn what_the_readme_says_to_write_works() {
    let readme = std::fs::read_to_string(shipped("README.md")).unwrap();
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("partners")).unwrap();
    let mut written = Vec::new();
    for block in readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let name = if block.contains("[server]") { "broker.toml" } else { "partners/county-fire.toml" };
        std::fs::write(place.path().join(name), block.replace(SECRETS, place.path().to_str().unwrap()))
            .unwrap();
        written.push(name);
    }
    written.sort_unstable();
    assert_eq!(written, ["broker.toml", "partners/county-fire.toml"]);
    for secret in ["home", "county-fire"] {
        std::fs::write(place.path().join(secret), "a secret\n").unwrap();
    }
    let sources = Sources {
        files: vec![place.path().join("broker.toml")],
        partners: Some(place.path().join("partners")),
        ..Sources::default()
    };

    let configuration = config::load(&sources).unwrap_or_else(|problems| panic!("{problems}"));

    assert_eq!(configuration.partners.len(), 1);
    wires(&configuration);
}
