//! Files that change under a running broker: partners, clients, secrets and keys, each without a restart.

use std::path::Path;

use mcx_token_broker::jose::{Algorithm, SigningKey};
use mcx_token_broker::sandbox::Endpoint;
use serde_json::{Value, json};

use crate::support::broker::{Answer, Broker};
use crate::support::ca::Ca;
use crate::support::federation::{
    CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup, partner_toml, signing_keys,
};
use crate::support::redis::Redis;
use crate::support::{decoded, http, until};

const PARTNER_FILE: &str = "partners/county-fire.toml";

/// The broker's file with further text.
fn with(federation: &Federation, further: &str) -> String {
    format!("{}\n{further}", federation.broker.read("broker.toml"))
}

/// Reads the files again, and all is well.
async fn reloaded(federation: &Federation) -> Value {
    let answer = federation.broker.reload().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn exchange_as(federation: &Federation, client: &str, secret: &str) -> Answer {
    federation.exchange(&[("client_id", client), ("client_secret", secret)]).await
}

fn place(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join("new"), text).unwrap();
    std::fs::rename(directory.join("new"), directory.join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_secret_is_replaced_while_both_count() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    place(directory.path(), "secret", "old\n");
    place(directory.path(), "second", "old\n");
    let client = format!(
        "[[clients]]\nid = \"office\"\nauthentication = \"client_secret_post\"\npartners = [\"*\"]\n\
         subject_clients = [\"{CLIENT}\"]\nsecret_file = {:?}\nsecond_secret_file = {:?}\n",
        at("secret"),
        at("second")
    );
    let federation = Setup::new().broker(&client).start().await;
    let counts = async |secret: &str| exchange_as(&federation, "office", secret).await.status == 200;
    assert!(counts("old").await && !counts("new").await);

    place(directory.path(), "second", "new\n");
    reloaded(&federation).await;
    assert!(counts("old").await && counts("new").await, "both, while the client goes over");

    place(directory.path(), "secret", "new\n");
    reloaded(&federation).await;
    assert!(!counts("old").await && counts("new").await);

    place(directory.path(), "secret", "");
    let answer = federation.broker.reload().await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("secret_file") && answer.text.contains("is empty"), "{}", answer.text);
    assert!(counts("new").await, "the last good one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_secrets_at_identity_servers_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    place(directory.path(), "home", "broker-secret");
    place(directory.path(), "partner", "partner-secret");
    let federation = Setup::new().start().await;
    let post = |name: &str| format!("authentication = \"client_secret_post\"\nsecret_file = {:?}", at(name));
    let broker = federation.broker.read("broker.toml");
    let broker = replaced_credentials(&broker, "broker-secret", &post("home"));
    let partner = federation.broker.read(PARTNER_FILE);
    let partner = replaced_credentials(&partner, "partner-secret", &post("partner"));
    let broker = Broker::start(&broker, &[(PARTNER, partner)], &federation.clock);
    let federation = federation.with(broker);
    assert_eq!(federation.exchange(&[]).await.status, 200);

    place(directory.path(), "home", "newer-home");
    place(directory.path(), "partner", "newer-partner");
    let report = reloaded(&federation).await;
    assert_eq!(report["changed"], json!([PARTNER]));
    // The servers know the old ones only: what matters is what they were shown.
    federation.exchange_token(&federation.home_token("bob"), &[]).await;
    let shown = federation.home.last_request(Endpoint::Token).unwrap();
    assert_eq!(shown.get("client_secret"), Some("newer-home"));
    place(directory.path(), "home", "broker-secret");
    reloaded(&federation).await;
    federation.exchange_token(&federation.home_token("bob"), &[]).await;
    let shown = federation.partner.last_request(Endpoint::Token).unwrap();
    assert_eq!(shown.get("client_secret"), Some("newer-partner"));
}

/// A table's `authentication` and `secret` are replaced by these lines.
fn replaced_credentials(toml: &str, secret: &str, lines: &str) -> String {
    let secret = format!("secret = \"{secret}\"");
    assert!(toml.contains(&secret), "{toml}");
    let (before, after) = toml.split_once(&secret).unwrap();
    let table = before.rfind('[').unwrap();
    let (before, table) = before.split_at(table);
    let table = table.replace("authentication = \"client_secret_basic\"", "");
    format!("{before}{table}{lines}{after}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_is_published_before_it_signs_and_after() {
    let directory = tempfile::tempdir().unwrap();
    let pem = || {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        key.private_pem().expose().to_owned()
    };
    let [first, second, third] = [pem(), pem(), pem()];
    let files = ["previous", "current", "next"];
    for (name, key) in files.iter().zip([&first, &first, &second]) {
        place(directory.path(), name, key);
    }
    let at = |name: &str| format!("{{ key_file = {:?} }}", directory.path().join(name).display().to_string());
    let signing = format!("[signing]\nkeys = [{}, {}, {}]\n", at("current"), at("next"), at("previous"));
    let mint = "[security_token]\nsource = \"mint\"";
    let federation = Setup::new().broker(&signing).partner(mint).start().await;
    let signed_with = async |user: &str| {
        federation.exchange_token(&federation.token_of(user.len()), &[]).await;
        let request = federation.partner.last_request(Endpoint::Token).unwrap();
        decoded(request.get("assertion").unwrap()).0["kid"].clone()
    };
    let published = async || {
        let keys = federation.broker.published_keys().await;
        keys.as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let before = published().await;
    assert_eq!(before.len(), 2, "the key that stands in two files is one");
    assert_eq!(signed_with("a").await, before[0]);

    place(directory.path(), "previous", &first);
    place(directory.path(), "current", &second);
    place(directory.path(), "next", &third);
    reloaded(&federation).await;

    let after = published().await;
    assert_eq!(signed_with("bb").await, before[1], "the one that was published before");
    assert_eq!(after.len(), 3);
    assert!(after.contains(&before[0]), "what it signed is still verified");

    place(directory.path(), "current", "no key");
    assert_eq!(federation.broker.reload().await.status, 409);
    assert_eq!(signed_with("ccc").await, before[1], "the last good one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealing_key_is_replaced_and_what_the_old_one_sealed_is_not_lost() {
    let redis = Redis::start();
    let directory = tempfile::tempdir().unwrap();
    let keys = ["1".repeat(64), "2".repeat(64)];
    place(directory.path(), "current", &keys[0]);
    place(directory.path(), "previous", &keys[0]);
    let at = |name: &str| directory.path().join(name).display().to_string();
    let cache = |files: &[String]| {
        format!(
            "[cache]\nredis = {:?}\nmemory_max_age = \"0s\"\nredis_timeout = \"2s\"\nsealing_key_files = {files:?}",
            redis.url()
        )
    };
    let federation = Setup::new().broker(&cache(&[at("current"), at("previous")])).start().await;
    let token = async |user| {
        let answer = federation.exchange_token(&federation.home_token(user), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text_of("access_token")
    };
    let alices = token("alice").await;

    place(directory.path(), "current", &keys[1]);
    reloaded(&federation).await;

    assert_eq!(token("alice").await, alices, "sealed by the old key");
    let bobs = token("bob").await;
    place(directory.path(), "new-only", &keys[1]);
    let other = federation.another_broker(&cache(&[at("new-only")]), "");
    let answer = federation.exchange_at(&other, &federation.home_token("bob"), &[]).await;
    assert_eq!(answer.text_of("access_token"), bobs, "sealed by the new key");
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_come_change_and_go() {
    let federation = Setup::new().broker(signing_keys()).start().await;
    let kept = federation.exchange(&[]).await.text_of("access_token");
    let file = federation.broker.read(PARTNER_FILE);

    let issuer = federation.partner.issuer();
    let other = partner_toml(&federation.partner)
        .replace("mcx.county-fire.example", "mcx.coast.example")
        .replacen("resource = \"", "resource = \"urn:coast:", 1)
        + &format!("[security_token]\nsource = \"mint\"\naudience = {issuer:?}\n");
    federation.broker.write("partners/coast.toml", &other);
    assert_eq!(reloaded(&federation).await["changed"], json!(["coast"]));
    let coast = federation.exchange(&[("resource", ""), ("audience", "coast")]).await;
    assert_eq!(coast.status, 200, "{}", coast.text);
    assert_eq!(
        federation.exchange(&[]).await.text_of("access_token"),
        kept,
        "nothing has changed for this one"
    );

    let narrow = file.replace(&format!("\"{GROUP_MANAGEMENT}\""), "\"3gpp:mc:other\"");
    federation.broker.write(PARTNER_FILE, &narrow);
    assert_eq!(reloaded(&federation).await["changed"], json!([PARTNER]));
    let answer = federation.exchange(&[("scope", GROUP_MANAGEMENT)]).await;
    assert_eq!(answer.text_of("error"), "invalid_scope", "what is kept is not served by the old definition");

    std::fs::remove_file(federation.broker.directory().join("partners/coast.toml")).unwrap();
    federation.broker.write(PARTNER_FILE, &file);
    reloaded(&federation).await;
    let gone = federation.exchange(&[("resource", ""), ("audience", "coast")]).await;
    assert_eq!(gone.text_of("error"), "invalid_target");
    assert_eq!(federation.exchange(&[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_leaves_what_was_and_says_where_and_what() {
    let federation = Setup::new().start().await;
    let (broker, partner) = (federation.broker.read("broker.toml"), federation.broker.read(PARTNER_FILE));
    let served = async || federation.exchange(&[]).await.status == 200;
    let ok = async || federation.broker.metric("mcx_broker_configuration_ok").await;
    assert_eq!(ok().await, 1);

    federation.broker.write(PARTNER_FILE, "resource = ");
    federation
        .broker
        .write("broker.toml", &with(&federation, "[[rules]]\nname = \"r\"\nrequire = { x = [\"y\"] }\n"));
    let answer = federation.broker.reload().await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("county-fire.toml"), "{}", answer.text);
    let denied = federation.exchange(&[]).await;
    assert_eq!(denied.text_of("error"), "invalid_target", "the other files count: {}", denied.text);
    assert_eq!(ok().await, 0);

    federation.broker.write("broker.toml", "[server]\nlisten = 7\n");
    assert_eq!(federation.broker.reload().await.status, 409);
    assert_eq!(federation.exchange(&[]).await.text, denied.text, "all as it was");

    federation.broker.write("broker.toml", &broker);
    assert_eq!(federation.broker.reload().await.status, 409, "the partner's file is still bad");
    assert!(served().await, "and the partner as it was");
    // A new file does not get the requests that are meant for the one that served them.
    federation.broker.write("partners/a-thief.toml", &partner);
    let answer = federation.broker.reload().await;
    assert_eq!((answer.status.as_u16(), &answer.json()["changed"]), (409, &json!([])));
    assert!(answer.text.contains("a-thief.toml"), "{}", answer.text);
    assert!(served().await);
    let stolen = federation.exchange(&[("resource", ""), ("audience", "a-thief")]).await;
    assert_eq!(stolen.text_of("error"), "invalid_target");

    std::fs::remove_file(federation.broker.directory().join("partners/a-thief.toml")).unwrap();
    federation.broker.write(PARTNER_FILE, &partner);
    reloaded(&federation).await;
    assert!(served().await);
    assert_eq!(ok().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_counts_from_the_start_on_only_is_named() {
    let federation = Setup::new().start().await;
    let changed = federation.broker.read("broker.toml").replace("workers = 1", "workers = 2");
    federation.broker.write("broker.toml", &changed);
    // What partners are made of comes from there, too: half of it is worse than none.
    let partner = federation.broker.read(PARTNER_FILE);
    federation.broker.write(PARTNER_FILE, &format!("display_name = \"other\"\n{partner}"));
    let answer = federation.broker.reload().await;
    let report = answer.json();
    assert_eq!(answer.status, 409, "{report:#}");
    assert_eq!((&report["restart"], &report["changed"]), (&json!(["server"]), &json!([])));
    assert!(
        report["problems"][0].as_str().is_some_and(|held| held.contains("waits for a restart")),
        "{report:#}"
    );
    assert_eq!(federation.exchange(&[]).await.status, 200, "what was read before goes on");
    federation.broker.write(PARTNER_FILE, &partner);
    assert_eq!(federation.broker.reload().await.status, 200);
}

/// Neither needs anything of what waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_is_gone_or_off_is_served_no_more_whatever_waits_for_a_restart() {
    for off in [false, true] {
        let federation = Setup::new().start().await;
        assert_eq!(federation.exchange(&[]).await.status, 200);
        let changed = federation.broker.read("broker.toml").replace("workers = 1", "workers = 2");
        federation.broker.write("broker.toml", &changed);
        let partner = federation.broker.read(PARTNER_FILE);
        if off {
            federation.broker.write(PARTNER_FILE, &format!("enabled = false\n{partner}"));
        } else {
            std::fs::remove_file(federation.broker.directory().join(PARTNER_FILE)).unwrap();
        }
        let report = reloaded(&federation).await;
        assert_eq!(
            (&report["restart"], &report["changed"]),
            (&json!(["server"]), &json!([PARTNER])),
            "{off}"
        );
        let answer = federation.exchange(&[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text_of("error").as_str()),
            (400, "invalid_target"),
            "its tokens are kept, and not served"
        );
        assert_eq!(federation.broker.outcomes("target_unknown").await, 1);
    }
}

/// As Kubernetes replaces a ConfigMap or a Secret: the files are links, through a link that is moved.
#[tokio::test(flavor = "multi_thread")]
async fn a_moved_link_is_noticed_without_being_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, secret) in [("v1", "old"), ("v2", "new")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("secret"), secret).unwrap();
    }
    std::os::unix::fs::symlink("v1", at("data")).unwrap();
    std::os::unix::fs::symlink("data/secret", at("secret")).unwrap();
    let client = format!(
        "[[clients]]\nid = \"office\"\nauthentication = \"client_secret_post\"\npartners = [\"*\"]\n\
         subject_clients = [\"{CLIENT}\"]\nsecret_file = {:?}\n",
        at("secret").display().to_string()
    );
    let federation = Setup::new().broker(&client).start().await;
    assert_eq!(exchange_as(&federation, "office", "old").await.status, 200);

    std::os::unix::fs::symlink("v2", at("moving")).unwrap();
    std::fs::rename(at("moving"), at("data")).unwrap();

    until("the new secret counts", async || exchange_as(&federation, "office", "new").await.status == 200)
        .await;
    assert_eq!(exchange_as(&federation, "office", "old").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listeners_certificate_is_replaced_and_a_broken_pair_is_not_shown() {
    let (old, new) = (Ca::new(), Ca::new());
    let toml = format!("[server.tls]\n{}", old.issue_files("127.0.0.1"));
    let federation = Setup::new().broker(&toml).start().await;
    let url = format!("{}/jwks", federation.broker.url().replace("http://", "https://"));
    // A new client for each handshake: connections that are open go on.
    let believed = async || {
        [old.client(None).get(&url).send().await.is_ok(), new.client(None).get(&url).send().await.is_ok()]
    };
    assert_eq!(believed().await, [true, false]);
    let before = old.client(None);
    before.get(&url).send().await.unwrap().bytes().await.unwrap();

    let (certificate, key) = new.issue("127.0.0.1");
    old.write("certificate.pem", &certificate);
    assert_eq!(federation.broker.reload().await.status, 409, "a certificate without its key");
    assert_eq!(believed().await, [true, false]);

    old.write("key.pem", &key);
    let report = reloaded(&federation).await;
    assert_eq!(report["restart"], json!([]));
    assert_eq!(believed().await, [false, true]);
    assert!(before.get(&url).send().await.is_ok(), "an open connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_token_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    place(directory.path(), "token", "old");
    let file = directory.path().join("token").display().to_string();
    let federation = Setup::new().broker(&format!("[admin]\nbearer_token_file = {file:?}\n")).start().await;
    let reload = async |token: &str| {
        let url = format!("{}/api/reload", federation.broker.admin_url());
        let request = http().post(url).bearer_auth(token).header("content-type", "application/json");
        Answer::of(request).await.status.as_u16()
    };
    assert_eq!([reload("new").await, reload("old").await], [401, 200]);
    place(directory.path(), "token", "new");
    assert_eq!(reload("old").await, 200, "the last time");
    assert_eq!([reload("old").await, reload("new").await], [401, 200]);

    let open = federation.broker.read("broker.toml").replace(&format!("bearer_token_file = {file:?}"), "");
    federation.broker.write("broker.toml", &open);
    assert_eq!([reload("new").await, reload("").await], [200, 401], "taken out, it goes on until a restart");
}
