//! What is refused before anybody is asked, with the code of the running broker and the key that decides.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_broker_refuses_is_refused_with_the_same_code() {
    let home = Home::start().await;
    let now = home.federation.clock.now().unix_seconds();
    for (case, code, key, changes) in [
        ("expired", "subject_token_expired", json!("home.leeway"), json!({ "exp": now - 600 })),
        ("not yet", "subject_token_not_yet_valid", json!("home.leeway"), json!({ "nbf": now + 600 })),
        (
            "years",
            "subject_token_lifetime",
            json!("home.max_token_lifetime"),
            json!({ "exp": now + 10 * 366 * 86_400 }),
        ),
        ("milliseconds", "subject_token_claim", json!("home.leeway"), json!({ "exp": now * 1000 })),
        ("no exp", "subject_token_missing_claim", json!("home.required_claims"), json!({ "exp": null })),
        ("no aud", "subject_token_missing_claim", json!("home.required_claims"), json!({ "aud": null })),
        (
            "no client",
            "subject_token_missing_claim",
            json!("home.required_claims"),
            json!({ "client_id": null }),
        ),
        ("exp a text", "subject_token_claim", json!("home.leeway"), json!({ "exp": "tomorrow" })),
        (
            "client a list",
            "subject_token_claim",
            json!("home.required_claims"),
            json!({ "client_id": ["a"] }),
        ),
        ("scope a number", "subject_token_claim", json!(null), json!({ "scope": 7 })),
        ("sid a list", "subject_token_claim", json!(null), json!({ "sid": [1] })),
        ("act a text", "subject_token_claim", json!("home.broker_named_in"), json!({ "act": "bob" })),
        (
            "issuer",
            "subject_token_issuer",
            json!("home.issuer"),
            json!({ "iss": "https://elsewhere.example" }),
        ),
        (
            "audience",
            "subject_token_audience",
            json!("home.audience"),
            json!({ "aud": ["mcx-broker", "other"] }),
        ),
        ("broker", "subject_token_broker_not_named", json!("home.broker_named_in"), json!({ "aud": "mcx" })),
        (
            "long name",
            "subject_token_identity",
            json!("home.subject_claims"),
            json!({ "sub": "a".repeat(300) }),
        ),
        ("acted for", "denied_delegated", json!("home.delegated_tokens"), json!({ "act": { "sub": "bob" } })),
        ("may act", "denied_may_act", json!("home.delegated_tokens"), json!({ "may_act": { "sub": "bob" } })),
        (
            "client",
            "denied_other_clients_token",
            json!("clients[0].subject_clients"),
            json!({ "client_id": "another" }),
        ),
        // The first in the order of a request is the answer, and the others are told too.
        (
            "several",
            "subject_token_expired",
            json!("home.leeway"),
            json!({ "exp": now - 600, "iss": "x", "aud": "y", "client_id": "z" }),
        ),
    ] {
        let explained = home.both_say(case, code, Asked::with(home.token(changes))).await;
        assert_eq!(refusal(&explained)["key"], key, "{case}");
    }
    assert_eq!(home.federation.home.requests(Endpoint::Jwks), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_signed_so_is_refused_with_the_same_code() {
    let home = Home::start().await;
    let stranger = Forger::new(Algorithm::Es256, "home");
    let header = r#"{"alg":"ES256","kid":"home"}"#;
    for (case, code, key, token) in [
        (
            "forged",
            "subject_token_signature",
            json!("home.jwks_file"),
            stranger.sign(header, home.claims(json!({}))),
        ),
        (
            "kid",
            "subject_token_signature",
            json!("home.jwks_file"),
            home.key.sign(r#"{"alg":"ES256","kid":"x"}"#, home.claims(json!({}))),
        ),
        (
            "typ",
            "subject_token_type",
            json!("home.typ"),
            home.key.sign(r#"{"alg":"ES256","kid":"home","typ":"dpop+jwt"}"#, home.claims(json!({}))),
        ),
        (
            "none",
            "subject_token_signature",
            json!("home.introspection"),
            format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(home.claims(json!({})))),
        ),
        (
            "crit",
            "subject_token_signature",
            json!("home.introspection"),
            home.key.sign(r#"{"alg":"ES256","crit":["x"]}"#, home.claims(json!({}))),
        ),
    ] {
        let explained = home.both_say(case, code, Asked::with(token)).await;
        assert_eq!(refusal(&explained)["key"], key, "{case}");
    }
    assert_eq!(home.federation.home.requests(Endpoint::Jwks), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_refuses_is_refused_with_the_same_code_and_the_key_that_decides() {
    let home = Home::start().await;
    let token = || home.token(json!({}));
    let of = |client: &str| home.token(json!({ "client_id": client }));
    let conflict = Asked { resource: Some("https://ruled.example".to_owned()), ..Asked::with(token()) };
    for (case, code, asked, check, key) in [
        ("client", "client_unknown", Asked::with(token()).by("stranger"), "client", "clients"),
        ("target", "target_unknown", Asked::with(token()).of("nowhere"), "target", "resource"),
        ("disabled", "target_unknown", Asked::with(token()).of("closed"), "target", "enabled"),
        ("conflict", "target_conflict", conflict, "target", "resource"),
        (
            "partner",
            "denied_partner",
            Asked::with(of("nobody")).by("nobody"),
            "partners of the client",
            "clients[1].partners",
        ),
        (
            "scope there",
            "denied_scope",
            Asked::with(token()).scope("openid admin"),
            "scope",
            "scopes.allowed",
        ),
        ("scope here", "denied_scope", Asked::with(of("narrow")).by("narrow"), "scope", "clients[2].scopes"),
        ("no scope", "denied_no_scope", Asked::with(token()).of("silent"), "scope", "scopes.default"),
        ("no role", "denied_rule", Asked::with(token()).of("ruled"), "rule", "rules[0].require"),
        (
            "role",
            "denied_rule",
            Asked::with(home.token(json!({ "role": "guest" }))).of("ruled"),
            "rule",
            "rules[0].require",
        ),
        (
            "demand",
            "security_token_mismatch",
            Asked::with(token()).of("strict"),
            "what the partner demands",
            "security_token.required_claims",
        ),
        (
            "subject",
            "broker_mint_subject",
            Asked::with(token()).of("badge"),
            "security token",
            "security_token.mint.subject_claim",
        ),
    ] {
        let explained = home.both_say(case, code, asked).await;
        let row = row_of(&explained, check);
        assert_eq!((row["code"].as_str(), row["key"].as_str()), (Some(code), Some(key)), "{case}: {row}");
        let file = row["file"].as_str().unwrap();
        let in_partners =
            ["scopes.", "security_token"].iter().any(|table| key.starts_with(table)) || key == "enabled";
        assert_eq!(file.contains("/partners/"), in_partners, "{case}: {file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_at_all_is_refused_with_the_same_code() {
    let home = Home::start().await;
    for (case, code, token) in [
        ("nothing", "request_missing_parameter", Vec::new()),
        ("too long a token", "request_parameter_too_long", vec![b'a'; 20_000]),
        ("too long a body", "request_too_large", vec![b'a'; 70_000]),
        ("endless", "request_too_large", vec![b'.'; 3_000_000]),
        ("not UTF-8", "request_encoding", b"\xff\xfe\x00".to_vec()),
        ("NUL", "request_encoding", b"a\0b".to_vec()),
        ("space", "request_malformed_parameter", b"a b".to_vec()),
        ("escape", "request_malformed_parameter", b"\x1b[2Jabc".to_vec()),
        ("opaque", "subject_token_signature", b"opaque".to_vec()),
        ("five parts", "subject_token_signature", b"a.b.c.d.e".to_vec()),
        ("JSON", "request_malformed_parameter", br#"{"error": "invalid_grant"}"#.to_vec()),
    ] {
        home.both_say(case, code, Asked::with(token)).await;
    }
    // Claims that would draw something else on a terminal.
    let odd = "x\u{1b}[2J\nok  client\u{202e}";
    let token = home.token(json!({ "iss": odd, "sub": odd, "exp": 1 }));
    let explained = explain(
        &home.federation.broker,
        token.as_bytes(),
        &["--client", CLIENT, "--partner", PARTNER, "--jwks-file", &home.keys()],
    )
    .await;
    assert_eq!(explained.code, Some(1));
    assert!(explained.stdout.contains("subject_token_issuer: "), "it goes on: {}", explained.stdout);
    assert!(!explained.stdout.contains(['\u{1b}', '\u{202e}']), "{}", explained.stdout);
    assert!(!explained.stdout.contains("\nok  client\u{fffd}"), "{}", explained.stdout);
}
