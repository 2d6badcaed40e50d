//! With `--live`: who is called, and what they refuse.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_without_live_and_with_it_everybody_and_nothing_is_kept() {
    let redis = Redis::start();
    let cache = format!("[cache]\nredis = \"{}\"\n", redis.url());
    let federation = Setup::in_real_time().quick_keys().broker(&cache).start().await;
    let (home, partner, broker) = (&federation.home, &federation.partner, &federation.broker);
    let token = federation.home_token("alice");
    let calls = || {
        [home, partner].map(|idm| [Endpoint::Token, Endpoint::Jwks].map(|endpoint| idm.requests(endpoint)))
    };
    let kept = || {
        let keys: Vec<String> = redis::cmd("KEYS").arg("mcx:token:*").query(&mut redis.connection()).unwrap();
        keys.len()
    };
    until("the broker has the home IdM's keys", async || home.requests(Endpoint::Jwks) > 0).await;
    let before = calls();
    let offline = Asked::with(token.clone()).explained(broker, &[]).await;
    assert_eq!(calls(), before);
    assert_eq!(offline.code, Some(0), "{}", offline.stdout);
    for check in ["signature", "revocations", "security token"] {
        assert_eq!(row_of(&offline, check)["verdict"], "not_checked", "{check}");
    }
    let live = Asked::with(token.clone()).explained(broker, &["--live"]).await;
    assert_eq!((live.code, &live.json()["refused"]), (Some(0), &json!(false)), "{}", live.stdout);
    assert_eq!(row_of(&live, "signature")["verdict"], "passes");
    let saw = row_of(&live, "what the client gets")["saw"].as_str().unwrap().to_owned();
    assert!(saw.starts_with(&format!("a token for \"{GROUP_MANAGEMENT}\" with ")), "{saw}");
    shows_no_secret(&live, token.as_bytes());
    assert!(calls().iter().zip(before).all(|(now, before)| now[0] == before[0] + 1), "one leg each");
    assert_eq!(kept(), 0);
    assert_eq!(Asked::with(token).exchange(broker).await.status, 200);
    assert_eq!(kept(), 1, "what an exchange keeps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_identity_server_refuses_is_refused_live_with_the_same_code() {
    let federation = Setup::in_real_time().quick_keys().start().await;
    let (home, partner, broker) = (&federation.home, &federation.partner, &federation.broker);
    let error = |error: &str| Fault::Error {
        status: 400,
        error: error.to_owned(),
        description: "eyJhbGciOi".to_owned(),
    };
    let (broker_file, partner_file) = ("broker.toml", "county-fire.toml");
    for (idm, said, code, file, key) in [
        (home, "invalid_grant", "home_subject_refused", broker_file, "home.issuer"),
        (home, "invalid_client", "home_credentials_refused", broker_file, "home.client.secret_file"),
        (home, "invalid_target", "home_refused", partner_file, "security_token.audience_parameter"),
        (partner, "invalid_grant", "partner_user_refused", partner_file, "security_token.audience"),
        (partner, "invalid_scope", "partner_scope_refused", partner_file, "scopes.map"),
        (partner, "invalid_client", "partner_credentials_refused", partner_file, "client.secret_file"),
        (partner, "unsupported_grant_type", "partner_refused", partner_file, "grant.type"),
    ] {
        idm.fault_times(Endpoint::Token, error(said), 2);
        let token = federation.home_token("alice");
        let explained = both_say(broker, said, code, Asked::with(token.clone()), &["--live"]).await;
        // By the same table as the status page's last error.
        let report = explained.json();
        let rows = report["checks"].as_array().unwrap();
        let refused = rows.iter().find(|row| row["verdict"] == "refused").unwrap();
        for member in ["name", "cause", "remedy"] {
            assert!(refused["likely"][member].is_string(), "{member}: {refused:#}");
        }
        assert!(refused["file"].as_str().unwrap().ends_with(file), "{file}: {refused:#}");
        assert_eq!(refused["key"], key, "{refused:#}");
        idm.fault_times(Endpoint::Token, error(said), 1);
        let arguments = ["--client", CLIENT, "--partner", PARTNER, "--live"];
        let lines = explain(broker, token.as_bytes(), &arguments).await.stdout;
        assert!(lines.contains(" likely: ") && lines.contains(" remedy: "), "{lines}");
    }
    // A request that is refused before goes nowhere, live or not.
    home.add_user(User::new("erin"));
    let before = home.requests(Endpoint::Token);
    let expired = federation.home_token_with("erin", json!({ "exp": 1 }));
    both_say(broker, "expired", "subject_token_expired", Asked::with(expired), &["--live"]).await;
    assert_eq!(home.requests(Endpoint::Token), before);
}
