use crate::oauth::grant::GrantType;
use crate::oauth::security_token::{AudienceForm, LegScope, SecurityTokenSource};

use super::*;

#[test]
fn a_partner_file_has_every_default_filled_in() {
    let partner = partner(&FIRE.replace("source = \"mint\"", "")).unwrap();
    assert_eq!((partner.id.as_str(), partner.display_name.as_str()), ("fire", "fire"));
    assert!(partner.enabled && partner.idm.discovery && !partner.client.client_id_in_body);
    let SecurityTokenSource::Exchange(plan) = &partner.security_token.source else { panic!("{partner:?}") };
    assert_eq!(plan.resource.as_deref(), Some("https://idm.fire.example"));
    assert_eq!((plan.audience.as_deref(), plan.requested_token_type.as_deref()), (None, None));
    assert_eq!(plan.subject_token_type, crate::oauth::token_type::ACCESS_TOKEN);
    assert_eq!(plan.scope, LegScope::Omit);
    let demands = &partner.security_token.demands;
    assert_eq!(demands.issuers, ["http://127.0.0.1:8081"]);
    assert_eq!(demands.audiences, ["https://idm.fire.example"]);
    assert_eq!(partner.grant.kind, GrantType::JwtBearer);
    assert_eq!(partner.grant.scope, LegScope::Granted);
}

#[test]
fn short_token_type_names_stand_for_identifiers() {
    let text = FIRE.replace(
        "source = \"mint\"",
        "subject_token_type = \"jwt\"\nrequested_token_type = \"urn:vendor:x\"\nissued_token_types = [\"id-jag\", \"urn:vendor:x\"]",
    );
    let SecurityTokenSource::Exchange(plan) = partner(&text).unwrap().security_token.source else { panic!() };
    assert_eq!(plan.subject_token_type, crate::oauth::token_type::JWT);
    assert_eq!(plan.requested_token_type.as_deref(), Some("urn:vendor:x"));
    assert_eq!(plan.issued_token_types, [crate::oauth::token_type::ID_JAG, "urn:vendor:x"]);
}

#[test]
fn placeholders_are_filled_and_unknown_ones_named() {
    let text = FIRE
        .replace(
            "issuer = \"https://idm.fire.example\"",
            "issuer = \"https://idm.fire.example/\"\ntoken_endpoint = \"{issuer}/token\"",
        )
        .replace(
            "source = \"mint\"",
            "audience = \"{issuer}\"\naccepted_audiences = [\"{client_id}\", \"{resource}\"]",
        );
    let found = partner(&text).unwrap();
    assert_eq!(found.idm.token_endpoint.as_deref(), Some("https://idm.fire.example/token"));
    let expected = ["https://idm.fire.example/", "mcx-home", "https://idm.fire.example"];
    assert_eq!(found.security_token.demands.audiences, expected);
    for wrong in ["{nobody}", "{issuer", "{}", "{{issuer}}"] {
        let text = FIRE.replace("source = \"mint\"", &format!("audience = \"{wrong}\""));
        let problems = partner(&text).unwrap_err();
        assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["security_token.audience"]);
    }
}

#[test]
fn minting_follows_the_demands() {
    let minted = |extra: &str| {
        let text = FIRE.replace("source = \"mint\"", &format!("source = \"mint\"\n{extra}"));
        partner(&text).map(|partner| match partner.security_token.source {
            SecurityTokenSource::Mint(plan) => plan,
            exchange @ SecurityTokenSource::Exchange(_) => panic!("{exchange:?}"),
        })
    };
    let plan = minted("").unwrap();
    assert_eq!(plan.audience_form, AudienceForm::ClientAndPartner);
    assert_eq!(plan.issuer, "http://127.0.0.1:8080");
    assert_eq!(minted("single_audience = true").unwrap().audience_form, AudienceForm::Single);
    assert_eq!(
        minted("[security_token.mint]\nclient_id = \"{client_id}\"").unwrap().client_id.unwrap(),
        "mcx-home"
    );
    for (contradiction, key) in [
        ("single_audience = true\nmint.audience_form = \"client_and_partner\"", "audience_form"),
        ("max_lifetime = \"60s\"", "lifetime"),
        ("min_remaining = \"120s\"", "lifetime"),
        ("kid = true\nmint.kid = false", "kid"),
        ("typ = [\"oauth-id-jag+jwt\"]", "typ"),
        ("required_claims = [\"jti\"]\nmint.jti = false", "jti"),
        ("required_claims = [\"client_id\"]", "client_id"),
        ("mint.claims = { sub = \"root\" }", "claims.sub"),
        ("mint.copied_claims = [\"exp\"]", "copied_claims[0]"),
    ] {
        let problems = minted(contradiction).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, [format!("security_token.mint.{key}")], "{contradiction}");
    }
}

#[test]
fn minting_without_a_key_is_a_warning() {
    let configuration = Setup::new("").partner("fire", FIRE).load();
    let keys: Vec<&str> = configuration.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["security_token.source"]);
    let signs =
        Setup::new("[signing]\nkeys = [{ key_file = \"k\" }]\n").file("k", "k").partner("fire", FIRE).load();
    assert_eq!(signs.warnings, []);
}

#[test]
fn the_epoch_changes_with_what_matters() {
    let epoch = |broker: &str, text: &str| Setup::new(broker).partner("fire", text).load().partners[0].epoch;
    let base = epoch("", FIRE);
    assert_eq!(base, epoch("", FIRE), "the same in another directory");
    assert_eq!(base, epoch("", &FIRE.replace("fire secret", "rotated")), "a rotated secret changes no token");
    let changes = [
        ("", FIRE.replace("\"openid\", ", "")),
        ("", FIRE.replace("mcx-home", "another")),
        ("", FIRE.replace("source = \"mint\"", "source = \"mint\"\nkid = true")),
        ("", format!("{FIRE}[grant]\nparameters = {{ secret = \"a\" }}\n")),
        ("[home]\nissuer = \"https://idm.example\"\n", FIRE.to_owned()),
        ("[server]\nissuer = \"https://broker.example\"\n", FIRE.to_owned()),
        ("[home]\ntoken_profile = \"ts33180\"\n", FIRE.to_owned()),
        ("[home.security_token]\nmin_remaining = \"6s\"\n", FIRE.to_owned()),
        ("[home]\npreset = \"keycloak\"\n", FIRE.to_owned()),
    ];
    let mut seen = vec![base];
    for (broker, text) in changes {
        let now = epoch(broker, &text);
        assert!(!seen.contains(&now), "{broker}{text}");
        seen.push(now);
    }
}

#[test]
fn one_bad_partner_hides_no_other() {
    let setup = Setup::new("[server]\ntoken_path = \"x\"\n")
        .partner("a", &FIRE.replace("[scopes]", "[scopse]"))
        .partner("b", &FIRE.replace("issuer = \"https://idm.fire.example\"", ""))
        .partner("c", "[");
    let expected = [
        ("broker.toml", "server.token_path"),
        ("partners/a.toml", "scopse"),
        ("partners/a.toml", "scopes.allowed"),
        ("partners/b.toml", "idm.issuer"),
        ("partners/c.toml", ""),
    ];
    assert_eq!(setup.complaints(), expected.map(|(file, key)| (file.to_owned(), key.to_owned())));
}

#[test]
fn a_disabled_partner_is_disabled_whatever_else_is_wrong() {
    let text =
        format!("enabled = false\n{}", FIRE.replace("secret = \"fire secret\"", "secret_file = \"gone\""));
    let configuration = Setup::new("").partner("fire", &text).load();
    assert!(!configuration.partners[0].enabled);
    assert!(configuration.warnings.iter().any(|warning| warning.key == "client.secret_file"));
}

#[test]
fn a_name_means_one_enabled_partner() {
    let other = FIRE.replace("https://idm.fire.example", "https://idm.other.example");
    let setup = Setup::new("").partner("fire", FIRE).partner("same", FIRE);
    assert_eq!(setup.complaints(), [("partners/same.toml".to_owned(), "resource".to_owned())]);
    let first = format!("domains = [\"mcx.example\"]\n{FIRE}");
    let second = format!("domains = [\"unique.example\", \"mcx.example\"]\n{other}");
    let setup = Setup::new("").partner("fire", &first).partner("other", &second);
    assert_eq!(setup.complaints(), [("partners/other.toml".to_owned(), "domains[1]".to_owned())]);
    let setup =
        Setup::new("").partner("fire", FIRE).partner("other", &format!("domains = [\"fire\"]\n{other}"));
    assert_eq!(setup.keys(), ["domains[0]"], "an id is a name too");
    let setup = Setup::new("").partner("fire", FIRE).partner("same", &format!("enabled = false\n{FIRE}"));
    assert_eq!(setup.load().partners.len(), 2);
}

#[test]
fn an_id_is_a_file_stem_of_few_characters() {
    let long = "a".repeat(64);
    for (name, id) in [
        ("county-fire.toml", Some("county-fire")),
        ("0.fire_x.toml", Some("0.fire_x")),
        ("-fire.toml", None),
        ("Fire.toml", None),
        (".toml", None),
        ("fire.json", None),
        ("fïre.toml", None),
        (&format!("{long}.toml"), None),
        (&format!("{}.toml", &long[1..]), Some(&long[1..])),
    ] {
        assert_eq!(id_of(Path::new(name)).as_deref(), id, "{name}");
    }
}

#[test]
fn one_file_can_be_loaded_again() {
    let setup = Setup::new("").partner("fire", FIRE);
    let Configuration { partner_defaults, partners, partners_directory, .. } = setup.load();
    let files = partner_files(&partners_directory).unwrap();
    let again = load_partner(&files[0], &partner_defaults).unwrap();
    assert_eq!((again.epoch, &again.id), (partners[0].epoch, &partners[0].id));
}
