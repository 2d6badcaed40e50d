//! The security token is looked at before it is sent: whatever the partner would refuse with its one generic error is
//! named by the broker, and the partner never sees it.

use mcx_token_broker::jose::{Algorithm, SigningHeader, SigningKey};
use mcx_token_broker::sandbox::{Endpoint, Fault};
use serde_json::{Map, Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{Federation, Setup};

const SECURITY_TOKEN: [(&str, &str); 1] = [("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")];

/// A partner that demands everything that can be demanded.
async fn demanding() -> Federation {
    let setup = Setup::new().partner(
        r#"
        [security_token]
        single_audience = true
        max_lifetime = "300s"
        required_claims = ["sub", "iat", "jti"]
        kid = true
        typ = ["JWT"]
        algorithms = ["RS256"]
        "#,
    );
    setup.start().await
}

/// Claims that fit, with changes; `null` takes one out.
fn claims(federation: &Federation, changes: Value) -> Map<String, Value> {
    let now = federation.clock.now().unix_seconds();
    let mut claims = json!({
        "iss": federation.home.issuer(), "sub": "alice@mcx.example", "aud": federation.partner.issuer(),
        "iat": now, "exp": now + 120, "jti": "one",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    claims.as_object_mut().unwrap().extend(changes);
    let mut claims = claims.as_object().unwrap().clone();
    claims.retain(|_, value| !value.is_null());
    claims
}

/// What the broker says when the home IdM issues this.
async fn issued(federation: &Federation, token: &str) -> Answer {
    let fault = Fault::Set { member: "access_token".to_owned(), value: json!(token) };
    federation.home.fault(Endpoint::Token, fault);
    federation.exchange(&[]).await
}

fn signed(federation: &Federation, typ: &str, kid: bool, claims: &Map<String, Value>) -> String {
    federation.home.sign(typ, kid, claims).unwrap().expose().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mismatch_is_named_and_nothing_is_sent() {
    let federation = demanding().await;
    let now = federation.clock.now().unix_seconds();
    let fits = claims(&federation, json!({}));
    let of = |changes: Value| signed(&federation, "JWT", true, &claims(&federation, changes));
    let ours = federation.partner.issuer();
    let es256 = SigningKey::generate(Algorithm::Es256).unwrap();
    let es256 = es256.sign(&SigningHeader { typ: Some("JWT"), kid: true }, &fits).unwrap();
    let one = of(json!({}));
    let payload = one.split('.').nth(1).unwrap();

    let rows = [
        ("opaque", "9d2b6c1e-opaque".to_owned(), "opaque token or an unsigned one"),
        ("unsigned", format!("eyJhbGciOiJub25lIn0.{payload}."), "opaque token or an unsigned one"),
        ("symmetric", format!("eyJhbGciOiJIUzI1NiJ9.{payload}.AAAA"), "opaque token or an unsigned one"),
        ("two run together", format!("{one}{one}"), "opaque token or an unsigned one"),
        ("iss missing", of(json!({"iss": null})), "it has no iss"),
        ("iss not text", of(json!({"iss": 7})), "iss"),
        ("iss of another", of(json!({"iss": "https://other.example"})), "its iss is not among"),
        ("aud missing", of(json!({"aud": null})), "there is no aud"),
        ("aud empty", of(json!({"aud": []})), "claim aud is not"),
        ("aud of another", of(json!({"aud": "https://other.example"})), "its aud does not carry"),
        ("aud with a slash", of(json!({"aud": format!("{ours}/")})), "its aud does not carry"),
        ("aud not text", of(json!({"aud": [7]})), "aud"),
        ("two in aud", of(json!({"aud": ["mcptt_client", ours]})), "its aud has more than the one value"),
        ("sub missing", of(json!({"sub": null})), "it has no sub"),
        ("iat missing", of(json!({"iat": null})), "it has no iat"),
        ("jti missing", of(json!({"jti": null})), "it has no jti"),
        ("exp missing", of(json!({"exp": null})), "it has no exp"),
        ("exp not a number", of(json!({"exp": "soon"})), "exp"),
        ("exp too near", of(json!({"exp": now + 5})), "it expires too soon"),
        ("exp past", of(json!({"exp": now - 1})), "it expires too soon"),
        ("exp too far", of(json!({"exp": now + 301})), "it lives longer than the partner accepts"),
        ("exp beyond all time", of(json!({"exp": i64::MAX})), "exp"),
        ("too old", of(json!({"iat": now - 300})), "it lives longer than the partner accepts"),
        ("typ of another kind", signed(&federation, "at+jwt", true, &fits), "its header's typ"),
        ("typ missing", signed(&federation, "", true, &fits), "its header's typ"),
        ("kid missing", signed(&federation, "JWT", false, &fits), "it has no kid"),
        ("alg", es256.expose().to_owned(), "its alg is not one that the partner accepts"),
    ];
    for (what, token, named) in &rows {
        let answer = issued(&federation, token).await;
        assert_eq!(answer.outcome(), (502, "server_error".to_owned()), "{what}: {}", answer.text);
        let description = answer.text_of("error_description");
        assert!(description.starts_with("home: the security token does not fit"), "{what}: {description}");
        assert!(description.contains(named), "{what}: {description}");
        let alone = federation.exchange(&SECURITY_TOKEN).await;
        assert_eq!(
            alone.text_of("error_description"),
            description,
            "{what}: for clients that do B.7.4 themselves"
        );
    }
    let counted = federation.broker.outcomes("security_token_mismatch").await;
    assert_eq!(counted, 2 * rows.len() as u64, "each under its code");
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
    assert_eq!(
        federation.partner.requests(Endpoint::Discovery),
        0,
        "not even where the endpoint is was asked"
    );

    assert_eq!(issued(&federation, &one).await.status, 200, "the one that fits");
    assert_eq!(federation.partner.requests(Endpoint::Token), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_home_idm_says_it_issued_is_looked_at_too() {
    let federation = Federation::start().await;
    for (member, value, named) in [
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token"), "issued_token_type"),
        ("issued_token_type", json!("urn:ietf:params:oauth:token-type:saml2"), "issued_token_type"),
        ("token_type", json!("DPoP"), "token_type"),
        ("token_type", json!("mac"), "token_type"),
    ] {
        federation.home.fault(Endpoint::Token, Fault::Set { member: member.to_owned(), value });
        let answer = federation.exchange(&[]).await;
        assert_eq!(answer.outcome(), (502, "server_error".to_owned()), "{named}: {}", answer.text);
        let description = answer.text_of("error_description");
        assert!(description.starts_with("home: ") && description.contains(named), "{description}");
    }
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
    for member in ["issued_token_type", "token_type"] {
        federation.home.fault(Endpoint::Token, Fault::Remove { member: member.to_owned() });
        let answer = federation.exchange(&SECURITY_TOKEN).await;
        assert_eq!(answer.status, 200, "LemonLDAP has no {member}: {}", answer.text);
    }
}
