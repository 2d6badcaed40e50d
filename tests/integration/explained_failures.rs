//! What `/api/partners` says of the last failure of each leg: the likely cause and the key to change, and nobody's data.

use mcx_token_broker::sandbox::{Endpoint, Fault, Sandbox};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{ASKED_ONCE, Federation, HOME_ASKED_ONCE, Setup};
use crate::support::http;

async fn failures(federation: &Federation) -> (Vec<Value>, String) {
    let answer = Answer::of(http().get(format!("{}/api/partners", federation.broker.admin_url()))).await;
    let failures = answer.json()["partners"][0]["failures"].take();
    (failures.as_array().unwrap().clone(), answer.text)
}

fn refuses(idm: &Sandbox, status: u16, error: &str, description: &str) {
    let (error, description) = (error.to_owned(), description.to_owned());
    idm.fault(Endpoint::Token, Fault::Error { status, error, description });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_failure_of_each_leg_is_explained() {
    let federation = Setup::new().broker(HOME_ASKED_ONCE).partner(ASKED_ONCE).start().await;
    federation.exchange(&[]).await;
    assert!(failures(&federation).await.0.is_empty(), "nothing has failed");

    // Keycloak's way of saying that it does not know the audience looks like a wrong secret.
    refuses(&federation.home, 400, "invalid_client", "Audience not found: alice@mcx.example");
    assert_ne!(federation.exchange(&[("scope", "openid")]).await.status, 200);
    federation.home.clear(Endpoint::Token);
    refuses(&federation.partner, 400, "invalid_grant", "User not found: alice@mcx.example");
    assert_ne!(federation.exchange(&[("scope", "openid")]).await.status, 200);

    let (found, text) = failures(&federation).await;
    assert!(!text.contains("alice"), "the servers' own words stay in the broker: {text}");
    let short: Vec<Value> = found
        .iter()
        .map(|failure| {
            json!([
                failure["leg"],
                failure["code"],
                failure["status"],
                failure["error"],
                failure["cause"]["name"],
                failure["cause"]["file"],
                failure["cause"]["key"]
            ])
        })
        .collect();
    assert_eq!(
        short,
        [
            json!([
                "home",
                "home_credentials_refused",
                400,
                "invalid_client",
                "home_target_unknown",
                "partner",
                "security_token.audience_parameter"
            ]),
            json!([
                "partner",
                "partner_user_refused",
                400,
                "invalid_grant",
                "partner_user_unknown",
                "partner",
                "security_token.mint.subject_claim"
            ]),
        ]
    );
    assert_eq!(found[1]["runbook"], "/runbook#partner_user_refused");
    assert!(found.iter().all(|failure| failure["at"].is_string() && failure["cause"]["remedy"].is_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mismatch_is_one_of_the_first_leg_and_a_pause_hides_nothing() {
    let partner = "[connection]\nretries = 0\nbreaker_failures = 1\nbreaker_pause = \"30s\"";
    let federation = Setup::new().partner(partner).start().await;
    federation
        .home
        .fault(Endpoint::Token, Fault::Set { member: "access_token".to_owned(), value: json!("opaque") });
    assert_eq!(federation.exchange(&[]).await.status, 502);
    let (found, _) = failures(&federation).await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["leg"], &found[0]["code"]), (&json!("home"), &json!("security_token_mismatch")));
    assert_eq!(found[0]["cause"]["name"], "home_opaque_token");
    let answer =
        Answer::of(http().get(format!("{}/api/partners", federation.broker.admin_url()))).await.json();
    let outcomes = answer["partners"][0]["outcomes"].as_array().unwrap();
    let mismatch = outcomes.iter().find(|outcome| outcome["code"] == "security_token_mismatch").unwrap();
    assert_eq!((&mismatch["leg"], &mismatch["count"]), (&json!("home"), &json!(1)));

    federation.home.clear(Endpoint::Token);
    federation.partner.fault(Endpoint::Token, Fault::CutBody);
    for _ in 0..3 {
        assert_eq!(federation.exchange(&[]).await.status, 503);
    }
    let (found, _) = failures(&federation).await;
    assert_eq!(found[1]["code"], "partner_no_answer", "what came before the pause: {found:?}");
    assert_eq!(found[1]["cause"]["name"], "partner_slow");
}
