//! Every preset against an identity server that behaves as that product does: with the preset and the few keys that only
//! an operator can know, the exchange works; without it, or with one key off, it fails and says where.

mod home;
mod partners;

use std::collections::BTreeSet;
use std::path::Path;

use mcx_token_broker::sandbox::{Client, Endpoint, TrustedIssuer};
use serde_json::json;
use url::Url;

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, Setup, merged, signing_keys};
use crate::support::http;

use home::HOME;
use partners::PARTNERS;

/// The broker's secret at both servers: in every row it matters how it is written into a Basic header.
const SECRET: &str = "p:w+d %41&=";
/// The name under which the partner IdM knows itself at the home IdM: an alias there, a client id, an application.
const ALIAS: &str = "county";
const SAP_RESOURCE: &str = "urn:sap:identity:application:provider:name:county";

/// One preset in one role.
struct Row {
    preset: &'static str,
    /// How the home IdM and the partner IdM behave.
    home: &'static str,
    partner: &'static str,
    /// Beside the preset: keys of the broker's and of the partner's file.
    broker_keys: &'static str,
    partner_keys: &'static str,
    /// What else an operator may write, and what then is said. `-` in front: without the preset.
    wrong: &'static [(&'static str, &'static str, &'static str)],
}

/// Takes the alias too, which operators of such partners configure.
const TAKES_ALIAS: &str =
    r#"{"partner": {"assertion": {"audience": ["issuer", "token_endpoint", "alias"]}}}"#;
/// As TS 33.180 has it.
const PLAIN: &str = "ts33180";

/// Starts a row's federation with these keys.
async fn start(row: &Row, broker: &str, partner: &str) -> Federation {
    let secret = format!("secret = \"{SECRET}\"");
    let broker = merged(&format!("{}\n[home.client]\n{secret}", signing_keys()), broker);
    let partner = merged(&format!("[client]\n{secret}"), partner);
    let setup = Setup::new().home_behaves(row.home).partner_behaves(row.partner);
    let federation = setup.broker(&broker).partner(&partner).start().await;
    let (home, partner) = (&federation.home, &federation.partner);
    home.add_client(Client::with_secret("mcx-broker", SECRET));
    partner.add_client(Client::with_secret("mcx-home", SECRET));
    let issuer = partner.issuer();
    let token_endpoint = partner.token_endpoint();
    for target in [issuer.as_str(), token_endpoint.as_str(), ALIAS, SAP_RESOURCE] {
        home.add_target(target);
    }
    // Spring's tokens name the broker itself: that is then what the partner is called there.
    let alias = Some(if row.preset == "spring" { "mcx-broker" } else { ALIAS }.to_owned());
    let trusted = TrustedIssuer::sandbox(&home.issuer());
    // authentik's tokens bear the target's name as issuer.
    partner.trust(TrustedIssuer { issuer: ALIAS.to_owned(), alias: alias.clone(), ..trusted.clone() });
    partner.trust(TrustedIssuer { alias, ..trusted });
    federation
}

/// An exchange for alice. Zitadel's audience is within the user's own, so every user's token names the partner too.
async fn exchange(federation: &Federation) -> Answer {
    let annex_b = federation.home.behaviour().login.omitted_claims.iter().any(|claim| claim == "aud");
    let audience = json!(["mcx", "mcx-broker", federation.partner.issuer()]);
    let changes = if annex_b { json!({}) } else { json!({ "aud": audience }) };
    federation.exchange_token(&federation.home_token_with("alice", changes), &[]).await
}

/// Runs a row in its role: `[home]` of the broker's file, or the partner's file.
async fn check(role: &str, row: &Row) -> Vec<String> {
    let keys = |broker: &str, partner: &str| {
        let (broker, without_preset) = match broker.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (broker, false),
        };
        let preset = format!("preset = \"{}\"", row.preset);
        match (role, without_preset) {
            (_, true) => (broker.to_owned(), partner.to_owned()),
            ("home", _) => (merged(&format!("[home]\n{preset}"), broker), partner.to_owned()),
            _ => (broker.to_owned(), merged(&preset, partner)),
        }
    };
    let (broker, partner) = keys(row.broker_keys, row.partner_keys);
    let federation = start(row, &broker, &partner).await;
    let what = format!("{} as {role}", row.preset);
    let answer = exchange(&federation).await;
    let minted = row.partner_keys.contains("source = \"mint\"");
    let expected = json!({
        "status": 200, "token_type": "Bearer", "scope": GROUP_MANAGEMENT,
        // Never forwarded unasked.
        "refresh_token": null, "id_token": null,
        "requests at home": i32::from(!minted), "requests at the partner": 1,
    });
    let body = answer.json();
    let seen = json!({
        "status": answer.status.as_u16(), "token_type": body["token_type"], "scope": body["scope"],
        "refresh_token": body["refresh_token"], "id_token": body["id_token"],
        "requests at home": federation.home.requests(Endpoint::Token),
        "requests at the partner": federation.partner.requests(Endpoint::Token),
    });
    let mut differences = Vec::new();
    if seen != expected {
        differences.push(format!("{what}: {seen} {}", answer.text_of("error_description")));
    }
    if row.wrong.is_empty() {
        differences.push(format!("{what}: nothing shows that the preset matters"));
    }
    for (broker, partner, said) in row.wrong {
        let (broker_keys, partner_keys) = keys(broker, partner);
        let federation = start(row, &broker_keys, &partner_keys).await;
        let answer = exchange(&federation).await;
        let told = answer.text_of("error_description");
        if answer.status == 200 || !told.contains(said) {
            differences.push(format!("{what}, with {broker:?} {partner:?}: {} {told}", answer.status));
        }
    }
    differences
}

/// Every row that differs, at once.
async fn check_all(role: &str, rows: &[Row]) {
    let mut differences = Vec::new();
    for row in rows {
        differences.extend(check(role, row).await);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn home_presets() {
    check_all("home", HOME).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partner_presets() {
    check_all("partner", PARTNERS).await;
}

/// B.8's array is what most partners take, and what Keycloak and every ID-JAG receiver refuse: there the broker says so
/// itself, where without its preset the assertion would be spent on a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn the_array_of_b_8_is_named_before_keycloak_refuses_it() {
    for (what, home, preset, told, reached) in [
        ("array", partners::ARRAY, "preset = \"keycloak\"", "its aud has more than the one value", 0),
        ("array, no preset", partners::ARRAY, "", "400 invalid_grant", 1),
        (
            "too long-lived",
            r#"{"home": {"token": {"audience": ["resource"]}}}"#,
            "preset = \"keycloak\"",
            "it lives longer than the partner accepts",
            0,
        ),
        (
            "no jti",
            r#"{"home": {"token": {"audience": ["resource"], "jti": false}, "response": {"lifetime": 300}}}"#,
            "preset = \"keycloak\"",
            "it has no jti",
            0,
        ),
    ] {
        let setup = Setup::new().broker(signing_keys()).home_behaves(home).partner_behaves("keycloak");
        let federation = setup.partner(preset).start().await;
        let answer = federation.exchange(&[]).await;
        let description = answer.text_of("error_description");
        assert!(description.contains(told), "{what}: {} {description}", answer.status);
        assert_eq!(federation.partner.requests(Endpoint::Token), reached, "{what}");
    }
}

/// What these home IdMs demand of the user's own token, the broker looks at or hands on.
#[tokio::test(flavor = "multi_thread")]
async fn a_users_token_that_the_home_idm_will_not_exchange() {
    for (preset, changes, status, told, asked) in [
        ("pingam", json!({"may_act": null}), 400, "it does not name the broker", 0),
        ("pingam", json!({"may_act": {"client_id": "another"}}), 400, "it does not name the broker", 0),
        ("keycloak", json!({"aud": ["mcx"]}), 400, "it does not name the broker", 0),
        // Its aud lacks the partner: only its operator can put that in.
        ("zitadel", json!({}), 502, "400 invalid_target", 1),
    ] {
        let keys = merged(signing_keys(), &format!("[home]\npreset = \"{preset}\""));
        let federation = Setup::new().home_behaves(preset).broker(&keys).start().await;
        let token = federation.home_token_with("alice", changes.clone());
        let answer = federation.exchange_token(&token, &[]).await;
        let description = answer.text_of("error_description");
        assert_eq!(answer.status, status, "{preset} {changes}: {description}");
        assert!(description.contains(told), "{preset} {changes}: {description}");
        assert_eq!(federation.home.requests(Endpoint::Token), asked, "{preset} {changes}");
    }
}

/// Presets without a row, and why.
const WITHOUT_ROW: [(&str, &str); 3] = [
    // Below: the subject is an ID token, which only a login gives.
    ("id-jag", "home"),
    // Below, on the wire only: the sandbox knows neither grant.
    ("entra", "home"),
    ("authentik", "partner"),
];

#[test]
fn no_preset_is_without_a_test() {
    let rows = |role, rows: &[Row]| rows.iter().map(|row| (row.preset.to_owned(), role)).collect::<Vec<_>>();
    let elsewhere = WITHOUT_ROW.iter().map(|(preset, role)| ((*preset).to_owned(), *role)).collect();
    let tested: BTreeSet<_> =
        [rows("home", HOME), rows("partner", PARTNERS), elsewhere].concat().into_iter().collect();
    let mut there = BTreeSet::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/presets")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let roles = ["home", "partner"].into_iter().filter(|role| table.contains_key(*role));
        there.extend(roles.map(|role| (name.clone(), role)));
    }
    assert_eq!(tested, there);
}

/// An issuer of ID-JAGs: an ID token in, an assertion for one receiver out (draft-ietf-oauth-identity-assertion-authz-grant).
const ID_JAG_ISSUER: &str = r#"{"home": {
    "exchange": {"subject_token_types": ["urn:ietf:params:oauth:token-type:id_token"],
        "requested_token_types": ["urn:ietf:params:oauth:token-type:id-jag"], "audience": "required", "resource": "optional"},
    "token": {"audience": ["audience"], "typ": "oauth-id-jag+jwt", "requester_claims": ["client_id"], "scope": true},
    "response": {"lifetime": 300, "token_types": {"urn:ietf:params:oauth:token-type:id-jag": "N_A"}}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_becomes_an_id_jag_and_then_a_partner_token() {
    let setup = Setup::new().home_behaves(ID_JAG_ISSUER).partner_behaves("okta");
    let federation = setup
        .broker("[home]\npreset = \"id-jag\"\naudience = [\"mcptt_client\"]")
        // The claim client_id is the broker's id at the partner: here the same as at home.
        .partner("preset = \"id-jag\"\n[client]\nid = \"mcx-broker\"\n[security_token]\nscope = \"granted\"")
        .start()
        .await;
    federation.partner.add_client(Client::with_secret("mcx-broker", "partner-secret"));
    let id_token = id_token(&federation).await;

    let answer = federation.exchange_token(&id_token, &[]).await;

    assert_eq!(answer.status, 200, "{}", answer.text);
    let first = federation.home.last_request(Endpoint::Token).unwrap();
    assert_eq!(first.get("subject_token_type"), Some("urn:ietf:params:oauth:token-type:id_token"));
    assert_eq!(first.get("requested_token_type"), Some("urn:ietf:params:oauth:token-type:id-jag"));
    let access_token = federation.exchange(&[]).await;
    assert_eq!(access_token.outcome(), (400, "invalid_request".to_owned()), "no ID token, no ID-JAG");
}

/// Signs alice in at the usual client (B.4, PKCE of RFC 7636 appendix B) and returns her ID token.
async fn id_token(federation: &Federation) -> String {
    const REDIRECT: &str = "http://127.0.0.1/callback";
    let mut url = Url::parse(&format!("{}/authorize", federation.home.url())).unwrap();
    url.query_pairs_mut()
        .extend_pairs([("response_type", "code"), ("client_id", CLIENT), ("redirect_uri", REDIRECT)])
        .extend_pairs([("scope", "openid"), ("login_hint", "alice"), ("code_challenge_method", "S256")])
        .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let redirect = http().get(url).send().await.unwrap();
    let location = Url::parse(redirect.headers()["location"].to_str().unwrap()).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    ];
    Answer::of(http().post(federation.home.token_endpoint()).form(&form)).await.text_of("id_token")
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_is_asked_on_behalf_of() {
    let federation = Setup::new()
        .broker("[home]\npreset = \"entra\"")
        .partner("[security_token]\nscope = [\"api://county/.default\"]\naudience = \"api://county\"")
        .start()
        .await;
    federation.exchange(&[]).await;
    let first = federation.home.last_request(Endpoint::Token).expect("a request");
    assert_eq!(first.get("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!(first.get("requested_token_use"), Some("on_behalf_of"));
    assert_eq!(first.get("scope"), Some("api://county/.default"));
    assert_eq!(first.get("assertion").map(|token| token.split('.').count()), Some(3));
    for absent in ["subject_token", "subject_token_type", "requested_token_type", "resource", "audience"] {
        assert_eq!(first.get(absent), None, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authentik_gets_the_security_token_as_client_assertion() {
    let base = "preset = \"authentik\"";
    let partner = Setup::new().partner_without_credentials(base).start().await;
    partner.exchange(&[]).await;
    let second = partner.partner.last_request(Endpoint::Token).expect("a request");
    assert_eq!(second.get("grant_type"), Some("client_credentials"));
    assert_eq!(
        second.get("client_assertion_type"),
        Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    );
    assert_eq!(second.get("client_assertion").map(|token| token.split('.').count()), Some(3));
    for absent in ["assertion", "subject_token", "client_secret"] {
        assert_eq!(second.get(absent), None, "{absent}");
    }
    assert_eq!(second.authorization, None);
}
