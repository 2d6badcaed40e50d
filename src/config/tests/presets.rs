use crate::oauth::grant::GrantType;

use super::*;

/// What an operator adds to a partner preset.
fn operator(name: &str) -> String {
    let mut own = FIRE.replace("source = \"mint\"", "");
    if name == "authentik" {
        // The security token is the only credential there.
        own = own.replace("secret = \"fire secret\"\n", "");
    }
    let connector = if name == "dex" { "[grant.parameters]\nconnector_id = \"home\"\n" } else { "" };
    format!("preset = \"{name}\"\n{own}{connector}")
}

#[test]
fn every_preset_parses_and_says_where_its_facts_come_from() {
    for (name, text) in presets() {
        let layer = Layer::from_toml(text, name).unwrap();
        assert!(!layer.keys().is_empty(), "{name}");
        for role in layer.keys() {
            assert!(["home", "partner", "discovery"].contains(&role), "{name}: {role}");
        }
        for (role, words) in [("home", "# As home: absent"), ("partner", "# As partner: absent")] {
            assert_ne!(layer.keys().contains(role), text.contains(words), "{name} explains a missing {role}");
        }
        assert!(text.lines().nth(1).unwrap().starts_with("# "), "{name}");
    }
}

#[test]
fn the_products_that_are_promised_have_a_preset() {
    let names: Vec<&str> = presets().map(|(name, _)| name).collect();
    for name in ["keycloak", "pingfederate", "pingam", "wso2", "hydra", "uaa", "authgent"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn every_preset_applies_in_every_role_that_it_has() {
    for (name, text) in presets() {
        let roles = Layer::from_toml(text, name).unwrap();
        if roles.keys().contains("home") {
            let broker =
                format!("[home]\npreset = \"{name}\"\n[home.client]\nid = \"broker\"\nsecret = \"s\"\n");
            let configuration =
                Setup::new(&broker).partner("fire", &FIRE.replace("source = \"mint\"", "")).load();
            assert_eq!(configuration.warnings, [], "{name}");
            let without_client = format!("[home]\npreset = \"{name}\"\n");
            Setup::new(&without_client).partner("fire", FIRE).load();
        }
        if roles.keys().contains("partner") {
            let broker = "[home.client]\nid = \"broker\"\nsecret = \"s\"\n";
            let exchanged = Setup::new(broker).partner("fire", &operator(name)).load();
            assert_eq!(exchanged.partners[0].preset.as_deref(), Some(name));
            let text = operator(name).replace("[security_token]", "[security_token]\nsource = \"mint\"");
            Setup::new(broker).partner("fire", &text).load();
        }
    }
}

#[test]
fn an_unknown_preset_or_a_missing_role_is_named_with_the_ones_there_are() {
    let setup =
        Setup::new("[home]\npreset = \"hydra\"\n").partner("fire", &format!("preset = \"okta\"\n{FIRE}"));
    let problems = setup.problems();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["home.preset", "preset"]);
    for problem in &problems {
        assert!(problem.remedy.contains("keycloak"), "{problem}");
    }
    assert_eq!(Setup::new("[home]\npreset = \"keycloack\"\n").keys(), ["home.preset"]);
}

#[test]
fn facts_that_an_exchange_hangs_on() {
    let load = |name: &str| partner(&operator(name)).unwrap();
    let keycloak = load("keycloak");
    assert!(keycloak.security_token.demands.single_audience);
    assert!(keycloak.security_token.demands.required_claims.contains(&"jti".to_owned()));
    assert_eq!(keycloak.grant.tolerated_scopes, "profile email".parse().unwrap());
    let hydra = load("hydra");
    assert_eq!(hydra.security_token.demands.audiences, ["https://idm.fire.example/oauth2/token"]);
    let authgent = load("authgent");
    assert_eq!(authgent.idm.token_endpoint.as_deref(), Some("https://idm.fire.example/token"));
    assert!(!authgent.client.client_id_in_body && !authgent.idm.discovery);
    let Authentication::ClientSecretBasic { encoding, .. } = authgent.client.authentication else { panic!() };
    assert_eq!(encoding, CredentialsEncoding::Raw);
    assert_eq!(load("dex").grant.kind, GrantType::TokenExchange);
    assert!(load("uaa").client.client_id_in_body);
}

#[test]
fn a_product_is_guessed_from_its_metadata() {
    let members = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (issuer, token_endpoint, more, expected) in [
        (
            "https://a.example/realms/fire",
            "https://a.example/realms/fire/protocol/openid-connect/token",
            &[][..],
            Some("keycloak"),
        ),
        ("https://a.example", "https://a.example/as/token.oauth2", &[], Some("pingfederate")),
        ("https://fire.eu.auth0.com/", "https://fire.eu.auth0.com/oauth/token", &[], Some("auth0")),
        (
            "https://a.example",
            "https://a.example/oauth2/token",
            &["credentials_endpoint_draft_00"],
            Some("hydra"),
        ),
        (
            "https://a.example",
            "https://a.example/token",
            &["token_exchange_requested_token_types_supported"],
            Some("authgent"),
        ),
        ("https://a.example:9443/oauth2/token", "https://a.example:9443/oauth2/token", &[], Some("wso2")),
        (
            "https://a.example:443/am/oauth2/realms/root/realms/fire",
            "https://a.example/am/oauth2/realms/root/realms/fire/access_token",
            &[],
            Some("pingam"),
        ),
        ("https://a.example", "https://a.example/access_token", &[], None),
        ("https://a.example", "https://a.example/oauth2/token", &[], None),
        ("https://fire.okta.com", "https://fire.okta.com/oauth2/v1/token", &[], None),
        ("", "", &[], None),
    ] {
        assert_eq!(
            guess_preset(issuer, token_endpoint, &members(more)),
            expected,
            "{issuer} {token_endpoint}"
        );
    }
}
