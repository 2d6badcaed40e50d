//! How the broker proves itself to a partner IdM, whom it believes to be that IdM, and what it sends there.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mcx_token_broker::jose::{Algorithm, SigningKey, publish};
use mcx_token_broker::sandbox::behaviour::Method;
use mcx_token_broker::sandbox::{Client, Endpoint, Fault, Recorded};
use serde_json::{Value, json};

use crate::support::broker::Answer;
use crate::support::federation::{CLIENT, Federation, GROUP_MANAGEMENT, Setup, signing_keys};

/// What a careless encoder breaks.
const ODD_SECRET: &str = "p:w+d %41&=é/";

/// A federation whose partner file has these keys and no usual credentials.
async fn with(client: &str) -> Federation {
    Setup::new().broker(signing_keys()).partner_without_credentials(client).start().await
}

fn grant_request(federation: &Federation) -> Recorded {
    federation.partner.last_request(Endpoint::Token).expect("a grant request")
}

fn credentials_refused(answer: &Answer, what: &str) {
    assert_eq!(answer.outcome(), (502, "server_error".to_owned()), "{what}: {}", answer.text);
    let description = answer.text_of("error_description");
    assert!(
        description.starts_with("partner: the partner IdM refused the broker's credentials"),
        "{what}: {description}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_survives_the_header_in_the_encoding_of_the_server() {
    for (ours, theirs, works) in
        [("form", "form", true), ("raw", "raw", true), ("form", "raw", false), ("raw", "form", false)]
    {
        let behaviour = json!({"authentication": {"basic": theirs}}).to_string();
        let keys = format!(
            "[client]\nid = \"mcx home+1\"\nauthentication = \"client_secret_basic\"\nsecret = \"{ODD_SECRET}\"\ncredentials_encoding = \"{ours}\""
        );
        let setup = Setup::new().broker(signing_keys()).partner_behaves(&behaviour);
        let federation = setup.partner_without_credentials(&keys).start().await;
        federation.partner.add_client(Client::with_secret("mcx home+1", ODD_SECRET));
        let answer = federation.exchange(&[]).await;
        let what = format!("sent {ours}, read {theirs}");
        if works {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        } else {
            credentials_refused(&answer, &what);
        }
        let header = grant_request(&federation).authorization.unwrap();
        let pair = STANDARD.decode(header.strip_prefix("Basic ").unwrap()).unwrap();
        let expected = match ours {
            "form" => "mcx+home%2B1:p%3Aw%2Bd+%2541%26%3D%C3%A9%2F".to_owned(),
            _ => format!("mcx home+1:{ODD_SECRET}"),
        };
        assert_eq!(String::from_utf8(pair).unwrap(), expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_sends_its_credential_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let file = directory.path().join("client.pem");
    std::fs::write(&file, key.private_pem().expose()).unwrap();
    let basic = "authentication = \"client_secret_basic\"\nsecret = \"partner-secret\"";
    let post = "authentication = \"client_secret_post\"\nsecret = \"partner-secret\"";
    let signed = format!("authentication = \"private_key_jwt\"\nkey_file = {file:?}");
    let public = "authentication = \"none\"";
    // Keys, registered method, then: header, client_id, client_secret, client_assertion.
    for (keys, method, sent) in [
        (basic, Method::ClientSecretBasic, [true, false, false, false]),
        (
            &format!("{basic}\nclient_id_in_body = true"),
            Method::ClientSecretBasic,
            [true, true, false, false],
        ),
        (post, Method::ClientSecretPost, [false, true, true, false]),
        (&signed, Method::PrivateKeyJwt, [false, false, false, true]),
        (&format!("{signed}\nclient_id_in_body = true"), Method::PrivateKeyJwt, [false, true, false, true]),
        (public, Method::None, [false, true, false, false]),
    ] {
        let federation = with(&format!("[client]\n{keys}")).await;
        let mut client = Client::with_secret("mcx-home", "partner-secret");
        client.methods = vec![method];
        client.jwks = Some(publish([&key]));
        federation.partner.add_client(client);

        let answer = federation.exchange(&[]).await;

        assert_eq!(answer.status, 200, "{keys}: {}", answer.text);
        let request = grant_request(&federation);
        let there =
            ["client_id", "client_secret", "client_assertion"].map(|name| request.get(name).is_some());
        let [id, secret, assertion] = there;
        assert_eq!([request.authorization.is_some(), id, secret, assertion], sent, "{keys}");
        assert!(request.get("client_id").is_none_or(|id| id == "mcx-home"), "{keys}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_assertion_is_for_this_server_alone() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let file = directory.path().join("client.pem");
    std::fs::write(&file, key.private_pem().expose()).unwrap();
    let method = format!("[client]\nauthentication = \"private_key_jwt\"\nkey_file = {file:?}\n");
    let mut identifiers = BTreeSet::new();
    // Keys, what the server takes, whether it works, `aud`, `typ`.
    for (keys, accepted, works, audience, typ) in [
        ("", "issuer", true, "{issuer}", "JWT"),
        (
            "assertion_typ = \"client-authentication+jwt\"",
            "issuer",
            true,
            "{issuer}",
            "client-authentication+jwt",
        ),
        ("assertion_typ = \"\"", "issuer", true, "{issuer}", ""),
        ("assertion_audience = \"token_endpoint\"", "token_endpoint", true, "{issuer}/token", "JWT"),
        ("assertion_audience = \"token_endpoint\"", "issuer", false, "{issuer}/token", "JWT"),
        ("", "token_endpoint", false, "{issuer}", "JWT"),
        ("assertion_audience = \"https://alias.example\"", "either", false, "https://alias.example", "JWT"),
        (
            "algorithm = \"ES256\"\nkey_id = \"mine\"\nassertion_lifetime = \"30s\"",
            "either",
            true,
            "{issuer}",
            "JWT",
        ),
    ] {
        let behaviour = json!({"authentication": {"assertion_audience": accepted}}).to_string();
        let setup = Setup::new().broker(signing_keys()).partner_behaves(&behaviour);
        let federation = setup.partner_without_credentials(&format!("{method}{keys}")).start().await;
        let mut public = publish([&key]);
        if keys.contains("mine") {
            public["keys"][0]["kid"] = json!("mine");
        }
        federation.partner.add_client(Client::with_keys("mcx-home", public));
        let answer = federation.exchange(&[]).await;
        let what = format!("{keys:?}, server takes {accepted}");
        if works {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        } else {
            credentials_refused(&answer, &what);
        }
        let request = grant_request(&federation);
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert_eq!(request.get("client_assertion_type"), Some(kind), "{what}");
        let (header, claims) = decoded(request.get("client_assertion").unwrap());
        assert_eq!(header["typ"].as_str().unwrap_or_default(), typ, "{what}");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("mcx-home"), &json!("mcx-home")), "{what}");
        let expected = audience.replace("{issuer}", &federation.partner.issuer());
        assert_eq!(claims["aud"], json!(expected), "{what}: one string");
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(lifetime, if keys.contains("30s") { 30 } else { 60 }, "{what}");
        identifiers.insert(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(identifiers.len(), 8, "no two alike");
}

/// Without a key of its own the client signs with the broker's first key, which partners find at `/jwks`.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_assertion_may_be_signed_with_the_brokers_key() {
    let federation = with("[client]\nauthentication = \"private_key_jwt\"").await;
    let keys = crate::support::http().get(format!("{}/jwks", federation.broker.url()));
    federation.partner.add_client(Client::with_keys("mcx-home", Answer::of(keys).await.json()));
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// B.7.4 with clients that are registered at the partner themselves.
#[tokio::test(flavor = "multi_thread")]
async fn the_clients_own_id_can_be_forwarded() {
    let federation = with("[client]\nauthentication = \"none\"\nforward_client_id = true").await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(grant_request(&federation).get("client_id"), Some(CLIENT));
    assert_eq!(grant_request(&federation).authorization, None);

    let keys = "[client]\nforward_client_id = true";
    let problem = Setup::new().partner(keys).try_start().await.err().unwrap_or_default();
    assert!(problem.contains("client.forward_client_id"), "with the broker's own secret: {problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fixed_parameters_and_their_limits() {
    let federation = Setup::new()
        .partner("[grant.parameters]\ntoken_format = \"jwt\"\ntenant = \"{resource}#1\"\n[grant]\nresource = \"{issuer}/gms\"\naudience = \"gms\"")
        .start()
        .await;
    assert_eq!(federation.exchange(&[]).await.status, 200);
    let request = grant_request(&federation);
    let issuer = federation.partner.issuer();
    for (name, value) in [
        ("token_format", "jwt"),
        ("tenant", &format!("{issuer}#1")),
        ("resource", &format!("{issuer}/gms")),
        ("audience", "gms"),
    ] {
        assert_eq!(request.get(name), Some(value), "{name}");
    }
    let names: BTreeSet<_> = request.parameters.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), request.parameters.len(), "each parameter once");
    for name in ["grant_type", "assertion", "client_secret", "client_id", "scope", "client_assertion"] {
        let keys = format!("[grant.parameters]\n{name} = \"x\"");
        let problem = Setup::new().partner(&keys).try_start().await.err().unwrap_or_default();
        assert!(problem.contains(&format!("grant.parameters.{name}")), "{name}: {problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_are_asked_in_the_partners_names_and_told_in_ours() {
    let federation = Setup::new()
        .partner(&format!(
            "[scopes]\nallowed = [\"groups\", \"openid\"]\ndefault = [\"groups\"]\nmap = {{ groups = \"{GROUP_MANAGEMENT}\" }}"
        ))
        .start()
        .await;
    let answer = federation.exchange(&[("scope", "openid groups")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let sent: BTreeSet<_> =
        grant_request(&federation).get("scope").unwrap().split(' ').map(str::to_owned).collect();
    assert_eq!(sent, BTreeSet::from(["openid".to_owned(), GROUP_MANAGEMENT.to_owned()]));
    let told: BTreeSet<_> = answer.text_of("scope").split(' ').map(str::to_owned).collect();
    assert_eq!(told, BTreeSet::from(["openid".to_owned(), "groups".to_owned()]));
    let theirs = federation.exchange(&[("scope", GROUP_MANAGEMENT)]).await;
    assert_eq!(theirs.outcome(), (400, "invalid_scope".to_owned()), "their name is not ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_may_want_a_token_exchange() {
    let federation = Setup::new()
        .partner(
            "[grant]\ntype = \"token-exchange\"\nrequested_token_type = \"access_token\"\naudience = \"gms\"",
        )
        .start()
        .await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let request = grant_request(&federation);
    assert_eq!(request.get("grant_type"), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(request.get("subject_token_type"), Some("urn:ietf:params:oauth:token-type:jwt"));
    assert_eq!(request.get("requested_token_type"), Some("urn:ietf:params:oauth:token-type:access_token"));
    assert_eq!(request.get("audience"), Some("gms"));
    assert_eq!((request.get("assertion"), request.get("resource")), (None, None));
    assert_ne!(
        request.get("subject_token"),
        federation.home.last_request(Endpoint::Token).unwrap().get("subject_token")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stated_endpoint_is_not_discovered() {
    let federation = Setup::new().partner("[idm]\ntoken_endpoint = \"{issuer}/token\"").start().await;
    federation.partner.fault(Endpoint::Discovery, Fault::Html);
    assert_eq!(federation.exchange(&[]).await.status, 200);
    assert_eq!(federation.partner.requests(Endpoint::Discovery), 0);
    let federation = Setup::new().partner("[idm]\ntoken_endpoint = \"{issuer}/other\"").start().await;
    let answer = federation.exchange(&[]).await;
    assert_eq!(answer.outcome(), (502, "server_error".to_owned()), "stated, though wrong: {}", answer.text);
    assert_eq!(federation.partner.requests(Endpoint::Token), 0);
}

/// Metadata decides where the security token goes: what does not name the partner's own issuer, or sends it over a
/// network in the clear, is not followed.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_leads_astray_is_not_followed() {
    for (member, value) in [
        ("issuer", json!("https://idm.evil.example")),
        ("issuer", json!("http://127.0.0.1")),
        ("issuer", Value::Null),
        ("token_endpoint", json!("http://idm.county-fire.example/token")),
        ("token_endpoint", json!("file:///etc/passwd")),
        ("token_endpoint", Value::Null),
        ("token_endpoint", json!(7)),
    ] {
        let fault = Fault::Set { member: member.to_owned(), value: value.clone() };
        let federation = Federation::start().await;
        federation.partner.fault(Endpoint::Discovery, fault);
        let answer = federation.exchange(&[]).await;
        assert!([502, 503].contains(&answer.status.as_u16()), "{member}={value}: {}", answer.text);
        assert!(
            answer.text_of("error_description").starts_with("partner: "),
            "{member}={value}: {}",
            answer.text
        );
        assert_eq!(federation.partner.requests(Endpoint::Token), 0, "{member}={value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_beyond_this_machine_is_refused_at_configuration() {
    for (key, toml) in [
        ("idm.issuer", "[idm]\nissuer = \"http://idm.county-fire.example\""),
        ("idm.token_endpoint", "[idm]\ntoken_endpoint = \"http://idm.county-fire.example/token\""),
        ("idm.token_endpoint", "[idm]\ntoken_endpoint = \"http://127.0.0.1.evil.example/token\""),
    ] {
        let problem = Setup::new().partner(toml).try_start().await.err().unwrap_or_default();
        assert!(problem.contains(key), "{toml}: {problem:?}");
        let allowed = format!("{toml}\n[connection]\nallow_http = true");
        assert_eq!(Setup::new().partner(&allowed).try_start().await.err(), None, "{toml}");
    }
}

/// Header and claims, unverified.
fn decoded(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}
