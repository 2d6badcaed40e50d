//! Secrets that are replaced while the broker runs: requests go on, and the old one is of no use afterwards.

use std::path::{Path, PathBuf};

use mcx_token_broker::sandbox::Client;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, PARTNER, Setup, signing_keys};
use crate::support::http;

/// A file with a secret, as an operator has it.
struct SecretFile {
    directory: tempfile::TempDir,
}

impl SecretFile {
    fn new(secret: &str) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        file.replace(secret);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("secret")
    }

    /// As editors and Kubernetes do it: a new file, and a rename.
    fn replace(&self, secret: &str) {
        let beside = self.directory.path().join(".new");
        std::fs::write(&beside, format!("{secret}\n")).unwrap();
        std::fs::rename(&beside, self.path()).unwrap();
    }
}

async fn exchange_as(federation: &Federation, secret: &str) -> Answer {
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &federation.home_token("alice")),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", PARTNER),
    ];
    let request = http().post(format!("{}/token", federation.broker.url())).form(&form);
    Answer::of(request.basic_auth("dispatch", Some(secret))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_secret_is_replaced_without_a_restart_and_two_are_good_meanwhile() {
    let (first, other) = (SecretFile::new("one"), SecretFile::new("one"));
    let clients = format!(
        r#"
        [[clients]]
        id = "dispatch"
        authentication = "client_secret_basic"
        secret_file = {:?}
        other_secret_file = {:?}
        partners = ["{PARTNER}"]
        subject_clients = ["{CLIENT}"]
        "#,
        Path::display(&first.path()).to_string(),
        Path::display(&other.path()).to_string(),
    );
    let federation = Setup::new().broker(&clients).start().await;
    let good = async |secrets: [&str; 3]| {
        let mut statuses = Vec::new();
        for secret in secrets {
            statuses.push(exchange_as(&federation, secret).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(good(["one", "two", ""]).await, [200, 401, 401]);

    first.replace("two");
    federation.broker.look_at_files();
    assert_eq!(good(["one", "two", ""]).await, [200, 200, 401], "while the client changes");

    other.replace("two");
    federation.broker.look_at_files();
    assert_eq!(good(["one", "two", ""]).await, [401, 200, 401], "a cached token does not help the old one");

    first.replace("");
    std::fs::remove_file(other.path()).unwrap();
    federation.broker.look_at_files();
    assert_eq!(good(["one", "two", ""]).await, [401, 200, 401], "what is broken changes nothing");
    let count = async |outcome: &str| {
        let name = format!("mcx_broker_replaced_files_total{{outcome=\"{outcome}\"}}");
        federation.broker.metric(&name).await
    };
    assert_eq!((count("taken").await, count("refused").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_secret_at_a_partner_is_replaced_without_a_restart() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let file = SecretFile::new("one");
        let path = file.path();
        let keys = format!("[client]\nauthentication = \"{method}\"\nsecret_file = {path:?}\n");
        let setup = Setup::new().broker(signing_keys());
        let federation = setup.partner_without_credentials(&keys).start().await;
        federation.partner.add_client(Client::with_secret("mcx-home", "two"));
        let refused = federation.exchange(&[]).await;
        assert_eq!(refused.outcome(), (502, "server_error".to_owned()), "{method}: {}", refused.text);

        file.replace("two");
        federation.broker.look_at_files();

        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text);
    }
}
