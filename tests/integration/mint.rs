//! Security tokens that the broker signs itself (B.8), and its keys.

use std::collections::BTreeSet;

use mcx_token_broker::jose::{Algorithm, KeySet, SigningKey, UnverifiedToken};
use mcx_token_broker::sandbox::Endpoint;
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{BROKER_ISSUER, CLIENT, Federation, GROUP_MANAGEMENT, Setup};
use crate::support::{decoded, http};

const MINT: &str = r#"
    [security_token]
    source = "mint"
    "#;

/// The last assertion that reached the partner.
fn assertion(federation: &Federation) -> String {
    let request = federation.partner.last_request(Endpoint::Token).expect("a grant request");
    request.get("assertion").expect("an assertion").to_owned()
}

/// What the partner got for alice under these keys of the partner file.
async fn minted(partner_toml: &str) -> (Value, Value) {
    let federation = Setup::new().partner(partner_toml).start().await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{partner_toml}: {}", answer.text);
    decoded(&assertion(&federation))
}

fn verifies(keys: &KeySet, token: &str) -> bool {
    keys.verify(&UnverifiedToken::parse(token).unwrap(), &Algorithm::ALL).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_token_is_b_8_and_the_partner_takes_it() {
    let federation = Setup::new().partner(MINT).start().await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    let token = assertion(&federation);
    let (header, claims) = decoded(&token);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    assert!(header["kid"].is_string());
    assert_eq!(claims["iss"], BROKER_ISSUER);
    assert_eq!(claims["sub"], "alice@mcx.example");
    assert_eq!(claims["aud"], json!([CLIENT, federation.partner.issuer()]), "the client, then the partner");
    let date = |name: &str| claims[name].as_i64().unwrap();
    let now = federation.clock.now().unix_seconds();
    assert_eq!(date("exp") - date("iat"), 120);
    assert!(date("iat") <= now && date("exp") > now, "a partner without leeway takes it");
    assert_eq!(claims["mcptt_id"], "sip:alice.mcptt@mcx.example");
    assert!(claims["jti"].as_str().unwrap().len() >= 16);
    for absent in ["client_id", "scope", "nbf", "act"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }
    assert_eq!(federation.home.requests(Endpoint::Token), 0, "the home IdM is not asked");

    assert!(verifies(&federation.broker.keys().await, &token));
    let elsewhere = http().get(format!("{}/.well-known/jwks.json", federation.broker.url()));
    let elsewhere = Answer::of(elsewhere).await;
    assert!(verifies(&KeySet::parse(elsewhere.text.as_bytes()).unwrap(), &token));
    assert!(!elsewhere.text.contains("\"d\""), "public keys only");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_are_the_same() {
    let federation = Setup::new().partner(MINT).start().await;
    let jwt = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];
    let mut identifiers = BTreeSet::new();
    for _ in 0..5 {
        let answer = federation.exchange(&jwt).await;
        let (_, claims) = decoded(&answer.text_of("access_token"));
        identifiers.insert(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(identifiers.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_is_the_operators() {
    let (header, claims) = minted(
        r#"
        [security_token]
        source = "mint"
        audience = "{issuer}/token"
        [security_token.mint]
        issuer = "https://broker.home.example"
        audience_form = "single"
        lifetime = "30s"
        typ = "oauth-id-jag+jwt"
        client_id = "{client_id}"
        scope = true
        copied_claims = ["mcdata_id", "not_there"]
        claims = { tenant = "{resource}#fire" }
        "#,
    )
    .await;
    assert_eq!(header["typ"], "oauth-id-jag+jwt");
    let audience = claims["aud"].as_str().expect("one string");
    assert!(audience.ends_with("/token"));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 30);
    assert_eq!(claims["client_id"], "mcx-home", "the broker's id at the partner");
    assert_eq!(claims["scope"], GROUP_MANAGEMENT);
    assert_eq!(claims["mcdata_id"], "sip:alice.mcdata@mcx.example");
    assert_eq!(claims["tenant"], format!("{}#fire", audience.trim_end_matches("/token")));
    for absent in ["mcptt_id", "not_there"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }

    let (header, claims) = minted(
        r#"
        [security_token]
        source = "mint"
        [security_token.mint]
        typ = ""
        kid = false
        jti = false
        "#,
    )
    .await;
    assert_eq!(header, json!({"alg": "RS256"}));
    assert_eq!(claims.get("jti"), None);
}

/// A scope claim must carry the partner's names: it is the partner that reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_minted_scope_is_in_the_partners_names() {
    let (_, claims) = minted(
        r#"
        [security_token]
        source = "mint"
        [security_token.mint]
        scope = true
        [scopes]
        allowed = ["groups"]
        default = ["groups"]
        map = { groups = "3gpp:mc:ptt_group_management_service" }
        "#,
    )
    .await;
    assert_eq!(claims["scope"], GROUP_MANAGEMENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_decide_cannot_be_fixed_or_copied() {
    for (what, toml) in [
        ("copied sub", "copied_claims = [\"sub\"]"),
        ("copied aud", "copied_claims = [\"aud\"]"),
        ("fixed iss", "claims = { iss = \"https://idm.home.example\" }"),
        ("fixed exp", "claims = { exp = \"9999999999\" }"),
        ("single demanded, two made", "audience_form = \"client_and_partner\""),
        ("too long", "lifetime = \"2h\""),
    ] {
        let partner = format!(
            "{MINT}
            single_audience = true
            [security_token.mint]
            {toml}
            "
        );
        let problem = Setup::new().partner(&partner).try_start().await.err().unwrap_or_default();
        assert!(problem.contains("security_token.mint."), "{what}: {problem:?}");
    }
}

/// Without a registration at the home IdM nothing can be exchanged there: minting needs none.
#[tokio::test(flavor = "multi_thread")]
async fn minting_needs_no_registration_at_home() {
    let mut setup = Setup::new().partner(MINT);
    setup.without_home_client = true;
    let federation = setup.start().await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_signs_and_all_are_published() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, algorithm| {
        let key = SigningKey::generate(algorithm).unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, key.private_pem().expose()).unwrap();
        (path.display().to_string(), key.kid().to_owned())
    };
    let (new, new_kid) = file("new.pem", Algorithm::Es256);
    let (old, _) = file("old.pem", Algorithm::Rs256);
    let signing = |first: &str, second: &str| format!("[signing]\nkeys = [{first}, {second}]");
    let new = format!("{{ key_file = {new:?} }}");
    let old = format!("{{ key_file = {old:?}, kid = \"2026-05\", algorithm = \"PS256\" }}");

    let before = Setup::new().broker(&signing(&old, &new)).partner(MINT).start().await;
    assert_eq!(before.exchange(&[]).await.status, 200);
    let signed_before = assertion(&before);
    assert_eq!(decoded(&signed_before).0, json!({"alg": "PS256", "typ": "JWT", "kid": "2026-05"}));

    let after = Setup::new().broker(&signing(&new, &old)).partner(MINT).start().await;
    assert_eq!(after.exchange(&[]).await.status, 200);
    let signed_after = assertion(&after);
    assert_eq!(decoded(&signed_after).0, json!({"alg": "ES256", "typ": "JWT", "kid": new_kid}));

    for federation in [&before, &after] {
        let keys = federation.broker.keys().await;
        assert!(verifies(&keys, &signed_before) && verifies(&keys, &signed_after));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_file_each_broker_makes_its_own() {
    let (one, other) = (Setup::new().partner(MINT).start().await, Setup::new().partner(MINT).start().await);
    assert_eq!(one.exchange(&[]).await.status, 200);
    let token = assertion(&one);
    assert!(verifies(&one.broker.keys().await, &token));
    assert!(!verifies(&other.broker.keys().await, &token));
}
