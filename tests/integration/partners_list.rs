//! `partners list`: every file with its state, and what is wrong with it; and what each command says of a broker file that is
//! wrong.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::federation::Setup;
use crate::support::program::{Ran, command, run};

async fn partners(directory: &Path, arguments: &[&str]) -> Ran {
    run(command(directory, &[&["partners"], arguments].concat()), b"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_every_file_with_its_state() {
    let federation = Setup::in_real_time().start().await;
    let directory = federation.broker.directory();
    let good = federation.broker.read("partners/county-fire.toml");
    let off = good.replace(&federation.partner.issuer(), "https://idm.other.example");
    federation.broker.write(
        "partners/away.toml",
        &format!("enabled = false\n{}", off.replace("mcx.county-fire", "mcx.away")),
    );
    let ran = partners(directory, &["list", "--json"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let states = |report: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        report["partners"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| (text(&row["id"]), text(&row["state"])))
            .collect()
    };
    let expected =
        [("away", "disabled"), ("county-fire", "enabled")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(states(&ran.json()), expected);

    federation.broker.write("partners/broken.toml", "resource = 7\n");
    let ran = partners(directory, &["list"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in ["PARTNER", "county-fire", "disabled", "unusable", "broken.toml: resource: "] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    federation.broker.write("broker.toml", "[server]\nlisten = 7\n");
    assert_eq!(partners(directory, &["list"]).await.code, Some(78));
    for arguments in [&["list", "--json"][..], &["test", "county-fire", "--json"], &["add", "x", "--json"]] {
        let ran = partners(directory, arguments).await;
        let (report, key) = (ran.json(), "server.listen");
        assert_eq!((ran.code, &report["ok"]), (Some(78), &json!(false)), "{ran:?}");
        assert_eq!(report["problems"][0]["key"], key, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_key_that_is_none_is_listed_as_unusable() {
    let federation = Setup::in_real_time().start().await;
    federation.broker.write("bad.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let file = federation.broker.read("partners/county-fire.toml");
    let key = "authentication = \"private_key_jwt\"\nkey_file = \"../bad.key\"";
    let bad = file.replace("authentication = \"client_secret_basic\"", key);
    let bad = bad.replace("secret = \"partner-secret\"", "");
    assert_ne!(bad, file);
    federation.broker.write("partners/county-fire.toml", &bad);
    let ran = partners(federation.broker.directory(), &["list", "--json"]).await;
    let row = &ran.json()["partners"][0];
    assert_eq!((ran.code, &row["state"]), (Some(1), &json!("unusable")), "{row:#}");
    assert!(row["problems"][0]["file"].as_str().unwrap().ends_with("bad.key"), "{row:#}");
    assert_eq!(row["issuer"], json!(federation.partner.issuer()), "what its file says is shown");
}
