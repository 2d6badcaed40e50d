//! Opaque home tokens, and revoked ones: the home IdM is asked (RFC 7662), and its answer counts for seconds only.

use std::time::Duration;

use mcx_token_broker::sandbox::Endpoint;
use mcx_token_broker::sandbox::Fault;
use mcx_token_broker::sandbox::behaviour::Format;
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, Setup};
use crate::support::http;

/// `home.introspection_cache`, unless configured.
const REMEMBERED: Duration = Duration::from_secs(5);

/// A home domain of this kind of token; the broker asks about them in this mode.
async fn start(format: Format, mode: &str) -> Federation {
    let mut setup = Setup::new().broker(&format!("[home]\nintrospection = \"{mode}\""));
    setup.home.behaviour.login.format = format;
    setup.quick_keys().start().await
}

fn asked(federation: &Federation) -> usize {
    federation.home.requests(Endpoint::Introspect)
}

fn refused() -> (u16, String) {
    (400, "invalid_request".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_asked_about_with_the_brokers_own_credentials() {
    let federation = start(Format::Opaque, "opaque").await;
    let token = federation.home_token("alice");

    let answer = federation.exchange_token(&token, &[]).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    let request = federation.home.last_request(Endpoint::Introspect).unwrap();
    assert_eq!(request.get("token"), Some(token.as_str()));
    assert_eq!(request.get("token_type_hint"), Some("access_token"));
    assert!(request.authorization.unwrap().starts_with("Basic "));
    let first_leg = federation.home.last_request(Endpoint::Token).unwrap();
    assert_eq!(first_leg.get("subject_token"), Some(token.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_is_taken_back_and_its_user_and_session_are_signed_out() {
    // Signed with the usual key, as logout tokens are.
    let mut setup = Setup::new().broker("[home]\nintrospection = \"opaque\"");
    setup.home.behaviour.login.format = Format::Opaque;
    let federation = setup.start().await;
    let session = json!({"sid": "session-1"});
    let [revoked, of_user, of_session] =
        [json!({}), json!({}), session].map(|claims| federation.home_token_with("alice", claims));
    let asks = async |token: &str| federation.exchange_token(token, &[]).await.outcome();
    let first = federation.exchange_token(&of_session, &[]).await.text_of("access_token");

    let form = [("token", revoked.as_str()), ("client_id", CLIENT)];
    let answer = Answer::of(http().post(format!("{}/revoke", federation.broker.url())).form(&form)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(asks(&revoked).await, refused());

    let kept = federation.exchange_token(&of_user, &[]).await.text_of("access_token");
    assert_ne!(kept, first, "what was obtained before is gone");
    let logout = json!({"sub": null, "sid": "session-1"});
    assert_eq!(federation.log_out_at(&federation.broker, logout).await.status, 200);
    assert_eq!(asks(&of_session).await, refused());
    let again = federation.exchange_token(&of_user, &[]).await.text_of("access_token");
    assert_ne!(again, kept, "what the session's user had is gone");

    let logout = json!({"sub": "alice@mcx.example"});
    assert_eq!(federation.log_out_at(&federation.broker, logout).await.status, 200);
    assert_eq!(asks(&of_user).await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_for_the_user_of_an_opaque_token_is_not_passed_over() {
    let federation = start(Format::Opaque, "opaque").await;
    for claims in [json!({"act": {"sub": "bob"}}), json!({"may_act": {"sub": "bob"}})] {
        let token = federation.home_token_with("alice", claims.clone());
        assert_eq!(federation.exchange_token(&token, &[]).await.outcome(), refused(), "{claims}");
    }
}

/// A JWT that says nothing of it, and an answer that does.
#[tokio::test(flavor = "multi_thread")]
async fn who_acts_by_the_answer_alone_is_not_passed_over() {
    let federation = start(Format::Jwt, "always").await;
    let token = federation.home_token("alice");
    for member in ["act", "may_act"] {
        let fault = Fault::Set { member: member.to_owned(), value: json!({"sub": "bob"}) };
        federation.home.fault(Endpoint::Introspect, fault);
        assert_eq!(federation.exchange_token(&token, &[]).await.outcome(), refused(), "{member}");
        federation.home.clear(Endpoint::Introspect);
        federation.hand.advance(REMEMBERED);
        assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
        federation.hand.advance(REMEMBERED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_for_seconds_only() {
    let federation = start(Format::Opaque, "opaque").await;
    let token = federation.home_token("alice");
    for _ in 0..3 {
        assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
    }
    assert_eq!(asked(&federation), 1, "remembered");

    federation.home.revoke_user("alice").unwrap();
    federation.hand.advance(REMEMBERED.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200, "still remembered");
    federation.hand.advance(Duration::from_millis(1));
    for _ in 0..3 {
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.outcome(), refused(), "revoked, though the partner's token is cached");
        assert!(!answer.text.contains(&token));
    }
    assert_eq!(asked(&federation), 2, "that it is not active is remembered as well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_still_expires() {
    let federation = start(Format::Opaque, "opaque").await;
    let exp = federation.clock.now().unix_seconds() + 2;
    let token = federation.home_token_with("alice", json!({"exp": exp}));
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
    federation.home.fault(Endpoint::Introspect, Fault::Set { member: "exp".to_owned(), value: json!(exp) });
    federation.hand.advance(Duration::from_secs(11));
    assert_eq!(federation.exchange_token(&token, &[]).await.outcome(), refused(), "in less than the leeway");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_answer_states_is_judged() {
    let federation = start(Format::Opaque, "opaque").await;
    let now = federation.clock.now().unix_seconds();
    let rows: [(&str, Value, u16); 19] = [
        ("active", json!(false), 400),
        ("active", json!("true"), 502),
        ("active", json!(1), 502),
        ("active", json!(null), 502),
        ("exp", json!(now - 10), 400),
        ("exp", json!("soon"), 502),
        ("nbf", json!(now + 60), 400),
        ("iss", json!("https://mallory.example"), 400),
        ("aud", json!("other"), 400),
        ("aud", json!(["mcptt_client"]), 400),
        ("client_id", json!("other_client"), 400),
        ("client_id", json!(7), 502),
        ("sub", json!(""), 502),
        ("sub", json!("s".repeat(256)), 400),
        ("scope", json!(7), 502),
        ("aud", json!("mcx"), 200),
        ("aud", json!(null), 200),
        ("iss", json!(null), 200),
        ("extension", json!({"a": [1]}), 200),
    ];
    for (member, value, expected) in rows {
        let fault = Fault::Set { member: member.to_owned(), value: value.clone() };
        federation.home.fault(Endpoint::Introspect, fault);
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.status, expected, "{member} {value}: {}", answer.text);
    }
    for (member, expected) in
        [("active", 502), ("client_id", 400), ("iss", 200), ("aud", 200), ("exp", 200), ("scope", 200)]
    {
        federation.home.fault(Endpoint::Introspect, Fault::Remove { member: member.to_owned() });
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.status, expected, "without {member}: {}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_nobody_gets_in_and_nothing_is_remembered() {
    let federation = start(Format::Opaque, "opaque").await;
    let error = |status: u16, error: &str| Fault::Error {
        status,
        error: error.to_owned(),
        description: String::new(),
    };
    let token = federation.home_token("alice");
    let rows: [(&str, Fault, u16); 9] = [
        ("down", Fault::Status { status: 503, body: String::new() }, 503),
        ("overloaded", Fault::Status { status: 429, body: String::new() }, 503),
        ("cut", Fault::CutBody, 503),
        ("cut in the head", Fault::HalfHeaders, 503),
        ("our credentials are refused", error(401, "invalid_client"), 502),
        ("not found", Fault::Status { status: 404, body: String::new() }, 502),
        ("a redirect", Fault::Redirect { location: "http://127.0.0.1:1/".to_owned() }, 502),
        ("huge", Fault::HugeBody { bytes: 100_000_000, declared: false }, 502),
        ("HTML", Fault::Html, 502),
    ];
    for (name, fault, expected) in rows {
        federation.home.fault(Endpoint::Introspect, fault);
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.status, expected, "{name}: {}", answer.text);
        assert!(answer.text_of("error_description").starts_with("home: "), "{name}: {}", answer.text);
        assert_eq!(answer.headers.contains_key("retry-after"), expected == 503, "{name}");
    }
    for (name, fault) in [("cut JSON", Fault::InvalidJson), ("a member twice", Fault::DuplicateMember)] {
        federation.home.fault(Endpoint::Introspect, fault);
        let answer = federation.exchange_token(&token, &[]).await;
        assert_eq!(answer.outcome(), (502, "server_error".to_owned()), "{name}: {}", answer.text);
    }
    federation.home.clear(Endpoint::Introspect);
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200, "the moment it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_endpoint_is_waited_for_no_longer_than_configured() {
    let mut setup =
        Setup::new().broker("[home]\nintrospection = \"opaque\"\n[home.connection]\ntimeout = \"100ms\"");
    setup.home.behaviour.login.format = Format::Opaque;
    let federation = setup.quick_keys().start().await;
    federation.home.fault(Endpoint::Introspect, Fault::Hold);
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.outcome(), (503, "temporarily_unavailable".to_owned()), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mode_always_a_revoked_jwt_stops_within_seconds() {
    let federation = start(Format::Jwt, "always").await;
    let token = federation.home_token("alice");
    assert_eq!(federation.exchange_token(&token, &[]).await.status, 200);
    assert_eq!(asked(&federation), 1);

    federation.home.revoke_user("alice").unwrap();
    federation.hand.advance(REMEMBERED);
    assert_eq!(federation.exchange_token(&token, &[]).await.outcome(), refused());
    let forged = format!("{}A", &token[..token.len() - 1]);
    assert_eq!(federation.exchange_token(&forged, &[]).await.outcome(), refused());
    assert_eq!(asked(&federation), 2, "nobody is asked about what is not even signed");

    federation.home.fault(Endpoint::Introspect, Fault::Status { status: 503, body: String::new() });
    assert_eq!(federation.exchange(&[]).await.status, 503, "a signature alone does not count in this mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mode_opaque_a_jwt_is_judged_here() {
    let federation = start(Format::Jwt, "opaque").await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    let run_together = format!("{0}{0}", federation.home_token("alice"));
    assert_eq!(federation.exchange_token(&run_together, &[]).await.outcome(), refused());
    assert_eq!(asked(&federation), 1, "about the one that is not a JWT");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mode_never_an_opaque_token_is_refused_and_nobody_asked() {
    let federation = start(Format::Opaque, "never").await;
    assert_eq!(federation.exchange(&[]).await.outcome(), refused());
    assert_eq!(asked(&federation), 0);
}
