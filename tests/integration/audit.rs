//! The audit log, as an operator finds it: one record for each decision, and no token in it.

use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, GROUP_MANAGEMENT, PARTNER, Setup};
use crate::support::http;

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_a_record_and_none_holds_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let federation =
        Setup::new().broker(&format!("[audit]\nfile = {:?}", file.display().to_string())).start().await;
    let alice = federation.home_token("alice");
    let answers = [
        federation.exchange_token(&alice, &[]).await,
        federation.exchange_token(&alice, &[]).await,
        federation.exchange_token(&alice, &[("scope", "3gpp:mc:video_service")]).await,
        federation.exchange_token(&alice, &[("client_id", "no\"body")]).await,
        federation
            .exchange_token(&alice, &[("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")])
            .await,
    ];
    federation.broker.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let member = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let seen: Vec<_> = records
        .iter()
        .map(|record| ["outcome", "source", "client", "partner", "scope"].map(|name| member(record, name)))
        .collect();
    let expected = [
        ["ok", "partner", CLIENT, PARTNER, GROUP_MANAGEMENT],
        ["ok", "memory", CLIENT, PARTNER, GROUP_MANAGEMENT],
        ["denied_scope", "", CLIENT, PARTNER, ""],
        ["client_unknown", "", "", "", ""],
        ["ok", "home", CLIENT, PARTNER, ""],
    ];
    assert_eq!(seen, expected.map(|row| row.map(str::to_owned)));
    assert_eq!(member(&records[2], "asked_scope"), "3gpp:mc:video_service");
    assert!(member(&records[2], "reason").contains("3gpp:mc:video_service"), "{}", records[2]);
    for (record, answer) in records.iter().zip(&answers) {
        assert_eq!(member(record, "request_id"), answer.headers["x-request-id"].to_str().unwrap());
        assert!(member(record, "time").ends_with('Z'), "{record}");
    }
    assert_eq!(member(&records[0], "issued_token"), member(&records[1], "issued_token"));
    assert_eq!(member(&records[0], "user").len(), 32, "a digest");
    for token in [alice, answers[0].text_of("access_token"), answers[4].text_of("access_token")] {
        assert!(!text.contains(&token[token.len() - 40..]), "a token in the audit log");
    }
    assert!(!text.contains("alice"), "a name in the audit log");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_named_where_the_operator_wants_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let audit = format!("[audit]\nuser = \"id\"\nfile = {:?}", file.display().to_string());
    let federation = Setup::new().broker(&audit).start().await;
    let odd = federation.home_token_with("alice", json!({ "sub": "a\"b\n{}", "mcptt_id": null }));
    for token in [federation.home_token("alice"), federation.home_token("alice"), odd] {
        federation.exchange_token(&token, &[]).await;
    }
    federation.broker.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let names: Vec<_> =
        records.map(|record| record["user_id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, ["alice@mcx.example", "alice@mcx.example", "a\"b\n{}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_is_a_record_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let audit = format!("[audit]\nfile = {:?}", file.display().to_string());
    let federation = Setup::new().broker(&audit).start().await;
    let alice = federation.home_token("alice");
    federation.exchange_token(&alice, &[]).await;
    for body in [r#"{"user": "alice@mcx.example"}"#, r#"{"partner": "county-fire"}"#, r#"{"all": true}"#] {
        let purge = http().post(format!("{}/api/purge", federation.broker.admin_url()));
        let purge = purge.header("content-type", "application/json").body(body);
        assert_eq!(Answer::of(purge).await.status, 200);
    }
    let revoke = http().post(format!("{}/revoke", federation.broker.url()));
    assert_eq!(
        Answer::of(revoke.form(&[("token", alice.as_str()), ("client_id", CLIENT)])).await.status,
        200
    );
    federation.broker.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let member = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let seen: Vec<_> = records[1..]
        .iter()
        .map(|record| ["source", "outcome", "client", "partner"].map(|name| member(record, name)))
        .collect();
    let expected = [
        ["purge", "ok", "", ""],
        ["purge", "ok", "", PARTNER],
        ["purge", "ok", "", ""],
        ["token", "ok", CLIENT, ""],
    ];
    assert_eq!(seen, expected.map(|row| row.map(str::to_owned)));
    let users: Vec<_> = records.iter().map(|record| member(record, "user")).collect();
    assert!(!users[0].is_empty() && users[0] == users[1] && users[0] == users[4], "{users:?}");
}
