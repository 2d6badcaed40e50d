//! What the operator allows to which users, and who may act for them.

use mcx_token_broker::sandbox::Endpoint;
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::decoded;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, PARTNER, Setup};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const MINT: &str = "[security_token]\nsource = \"mint\"";

fn refusal(answer: &Answer) -> (u16, String, String) {
    (answer.status.as_u16(), answer.text_of("error"), answer.text_of("error_description"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_lets_through_whoever_has_the_claims_and_nobody_else() {
    let rules = format!(
        r#"
        [[rules]]
        name = "dispatchers"
        partners = ["{PARTNER}"]
        require = {{ role = ["dispatcher", "commander"] }}
        [[rules]]
        name = "on-duty"
        scopes = ["{GROUP_MANAGEMENT}"]
        require = {{ "/duty/on" = ["true"] }}
        [[rules]]
        name = "of-others"
        clients = ["office"]
        require = {{ nobody = ["has this"] }}
        "#
    );
    let clients = format!("{}[[clients]]\nid = \"office\"\nauthentication = \"none\"\n", client(""));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let audit = format!("[audit]\nfile = {:?}\n", file.display().to_string());
    let federation = Setup::new().broker(&format!("{audit}{clients}{rules}")).start().await;
    let target = |rule: &str| {
        let text = format!("broker: the user does not have the claims that the rule {rule} demands");
        (400, "invalid_target".to_owned(), text)
    };
    let scope = (400, "invalid_scope".to_owned(), target("on-duty").2);
    for (claims, expected) in [
        (json!({}), target("dispatchers")),
        (json!({"role": "guest", "duty": {"on": true}}), target("dispatchers")),
        (json!({"role": ["guest", "commander"]}), scope.clone()),
        (json!({"role": "dispatcher", "duty": {"on": "false"}}), scope),
    ] {
        let answer =
            federation.exchange_token(&federation.home_token_with("alice", claims.clone()), &[]).await;
        assert_eq!(refusal(&answer), expected, "{claims}");
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0, "refused before anybody is asked");
    let with_all = json!({"role": "dispatcher", "duty": {"on": true}});
    let answer = federation.exchange_token(&federation.home_token_with("alice", with_all), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    federation.broker.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["outcome"], "denied_rule");
    assert_eq!(first["reason"], "the user does not have the claims that the rule dispatchers demands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_counts_for_what_is_kept_too() {
    let rule = "[[rules]]\nname = \"on-duty\"\nrequire = { on_duty = [\"true\"] }";
    let federation = Setup::new().broker(rule).start().await;
    let on_duty = federation.home_token_with("alice", json!({"on_duty": true}));
    let off_duty = federation.home_token_with("alice", json!({"on_duty": false}));
    assert_eq!(federation.exchange_token(&on_duty, &[]).await.status, 200);
    assert_eq!(federation.exchange_token(&on_duty, &[]).await.status, 200, "kept");

    let answer = federation.exchange_token(&off_duty, &[]).await;

    assert_eq!(answer.text_of("error"), "invalid_target", "{}", answer.text);
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
}

/// It is good for whatever its bearer asks the partner for.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_some_scopes_guards_security_tokens_whatever_is_asked_for() {
    let rule = "[[rules]]\nname = \"r\"\nscopes = [\"3gpp:mc:other\"]\nrequire = { role = [\"x\"] }";
    let federation = Setup::new().broker(rule).start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200, "another scope");
    let security = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    assert_eq!(federation.exchange(&security).await.text_of("error"), "invalid_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_says_who_acts_is_refused_or_told_on() {
    let acted_for = json!({"act": {"sub": "dispatcher-7", "act": {"sub": "robot"}}});
    let refusing = Setup::new().start().await;
    let answer = refusing.exchange_token(&refusing.home_token_with("alice", acted_for.clone()), &[]).await;
    assert_eq!(answer.text_of("error"), "invalid_request");
    assert!(answer.text_of("error_description").contains("(act)"), "{}", answer.text);

    let honour = "[home]\ndelegated_tokens = \"honour\"";
    for (partner, by) in [("", "exchanged"), (MINT, "minted")] {
        let federation = Setup::new().broker(honour).partner(partner).start().await;
        let delegated = federation.home_token_with("alice", acted_for.clone());
        let plain = federation.exchange(&[]).await;

        let answer = federation.exchange_token(&delegated, &[]).await;

        assert_eq!(answer.status, 200, "{by}: {}", answer.text);
        assert_ne!(answer.text_of("access_token"), plain.text_of("access_token"), "{by}: kept apart");
        let sent = federation.partner.last_request(Endpoint::Token).unwrap();
        assert_eq!(decoded(sent.get("assertion").unwrap()).1["act"], acted_for["act"], "{by}");
        let again = federation.exchange_token(&delegated, &[]).await;
        assert_eq!(again.text_of("access_token"), answer.text_of("access_token"), "{by}: kept");
        let nobody = federation.home_token_with("alice", json!({"act": {"client_id": "x"}}));
        assert_eq!(federation.exchange_token(&nobody, &[]).await.status, 400, "{by}: names nobody");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn may_act_names_who_asks_or_nobody_gets_anything() {
    let federation = Federation::start().await;
    for (may_act, status) in [
        (json!({"sub": "somebody"}), 400),
        (json!({"iss": "https://elsewhere.example", "client_id": CLIENT}), 400),
        (json!("x"), 400),
        (json!({}), 400),
        (json!({"client_id": CLIENT}), 200),
        (json!({"iss": federation.home.issuer(), "sub": "mcx-broker"}), 200),
    ] {
        let token = federation.home_token_with("alice", json!({"may_act": may_act}));
        for attempt in ["first", "remembered"] {
            let answer = federation.exchange_token(&token, &[]).await;
            assert_eq!(answer.status, status, "{may_act} {attempt}: {}", answer.text);
        }
    }
}

fn actor(token: &str) -> [(&'static str, &str); 2] {
    [("actor_token", token), ("actor_token_type", ACCESS_TOKEN)]
}

/// The usual client, with further keys.
fn client(keys: &str) -> String {
    format!("[[clients]]\nid = \"{CLIENT}\"\nauthentication = \"none\"\npartners = [\"*\"]\n{keys}\n")
}

/// The usual client, which may say who acts.
fn with_actors(broker: &str) -> Setup {
    Setup::new().broker(&format!("{broker}\n{}", client("actor_tokens = true")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_token_is_refused_unless_the_client_may_send_one() {
    let federation = Federation::start().await;
    let bob = federation.home_token("bob");
    let answer = federation.exchange(&actor(&bob)).await;
    assert_eq!(answer.text_of("error"), "invalid_request", "{}", answer.text);
    assert!(answer.text_of("error_description").contains("actor token"), "{}", answer.text);

    for partner in ["", MINT] {
        let federation = with_actors("").partner(partner).start().await;
        let bob = federation.home_token("bob");
        let alone = federation.exchange(&[]).await;
        let answer = federation.exchange(&actor(&bob)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_ne!(answer.text_of("access_token"), alone.text_of("access_token"), "kept apart");
        let sent = federation.partner.last_request(Endpoint::Token).unwrap();
        let (_, claims) = decoded(sent.get("assertion").unwrap());
        assert_eq!(
            (&claims["sub"], &claims["act"]["sub"]),
            (&json!("alice@mcx.example"), &json!("bob@mcx.example"))
        );
        let carol = federation.home_token_with("bob", json!({"sub": "carol"}));
        let other = federation.exchange(&actor(&carol)).await;
        assert_ne!(other.text_of("access_token"), answer.text_of("access_token"), "each actor has its own");
        let again = federation.exchange(&actor(&bob)).await;
        assert_eq!(again.text_of("access_token"), answer.text_of("access_token"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_token_must_be_as_good_as_the_users() {
    let federation = with_actors("").start().await;
    let alice = federation.home_token("alice");
    let named = federation.home_token_with("alice", json!({"may_act": {"sub": "carol"}}));
    let bob = federation.home_token("bob");
    let tokens = [
        ("expired", federation.home_token_with("bob", json!({"exp": 1_000_000_000}))),
        ("another audience", federation.home_token_with("bob", json!({"aud": "elsewhere"}))),
        ("another client's", federation.home_token_with("bob", json!({"client_id": "other"}))),
        ("acted for in turn", federation.home_token_with("bob", json!({"act": {"sub": "x"}}))),
        ("forged", format!("{}AAAA", &bob[..bob.len() - 4])),
        ("no token", "opaque".to_owned()),
    ];
    for (what, token) in &tokens {
        let answer = federation.exchange_token(&alice, &actor(token)).await;
        assert_eq!(answer.text_of("error"), "invalid_request", "{what}: {}", answer.text);
    }
    let answer = federation.exchange_token(&named, &actor(&bob)).await;
    assert!(answer.text_of("error_description").contains("may_act"), "{}", answer.text);
    assert_eq!(federation.home.requests(Endpoint::Token), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_idm_that_passes_the_actor_over_is_found_out() {
    let deaf = r#"{"home": {"exchange": {"actor_token": "ignored"}}}"#;
    let federation = with_actors("").home_behaves(deaf).start().await;
    let answer = federation.exchange(&actor(&federation.home_token("bob"))).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert!(answer.text_of("error_description").contains("passed the actor over"), "{}", answer.text);
    assert_eq!(federation.partner.requests(Endpoint::Token), 0, "not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_has_signed_out_acts_for_nobody() {
    let honour = "[home]\ndelegated_tokens = \"honour\"";
    let federation = with_actors(honour).start().await;
    let (alice, bob) = (federation.home_token("alice"), federation.home_token("bob"));
    let stated = federation.home_token_with("alice", json!({"act": {"sub": "bob@mcx.example"}}));
    let ask = async || {
        let by_token = federation.exchange_token(&alice, &actor(&bob)).await;
        let by_claim = federation.exchange_token(&stated, &[]).await;
        [by_token, by_claim].map(|answer| answer.status.as_u16())
    };
    assert_eq!(ask().await, [200, 200]);

    let logout = json!({"sub": "bob@mcx.example"});
    assert_eq!(federation.log_out_at(&federation.broker, logout).await.status, 200);

    assert_eq!(ask().await, [400, 400]);
    assert_eq!(federation.exchange_token(&alice, &[]).await.status, 200, "alice is still signed in");
}
