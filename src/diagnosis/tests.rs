use std::collections::BTreeSet;

use serde_json::Value;

use super::table::table;
use super::*;
use crate::oauth::refusal::Refusal;

const ERRORS: &str = include_str!("../../docs/errors.md");

fn refusal(status: u16, error: &str, text: &str) -> Refusal {
    let body = serde_json::json!({"error": error, "error_description": text});
    Refusal::parse(status, body.to_string().as_bytes()).unwrap()
}

/// The name of the cause of an OAuth error response.
fn cause(leg: Leg, product: Option<&str>, status: u16, error: &str, text: &str) -> &'static str {
    diagnose(&Seen::new(leg, product, "").refused(Some(&refusal(status, error, text)))).name.as_str()
}

/// Leg, product, status, `error`, text, and the cause that all of it stands for.
const MISTAKES: &str = "\
home | keycloak | 401 | unauthorized_client | Invalid client or Invalid client credentials | home_wrong_secret
home | keycloak | 400 | invalid_client | Audience not found | home_target_unknown
home | - | 400 | invalid_client | Audience not found | home_target_unknown
home | - | 401 | invalid_client |  | home_wrong_secret
partner | pingam | 401 | invalid_client | Invalid authentication method for accessing this endpoint. | partner_wrong_secret_or_grant
partner | keycloak | 401 | unauthorized_client | Invalid client or Invalid client credentials | partner_wrong_secret
partner | hydra | 400 | unauthorized_client |  | partner_grant_not_enabled
home | keycloak | 400 | invalid_request | Invalid token | home_subject_token_refused
home | zitadel | 400 | invalid_request | subject_token invalid | home_subject_token_refused_or_not_for_broker
home | okta | 400 | invalid_grant | subject token is invalid | home_subject_token_refused_or_not_for_broker
home | dex | 401 | access_denied |  | home_subject_token_refused
home | spring | 400 | invalid_grant |  | home_subject_token_refused
home | keycloak | 403 | access_denied | Client is not within the token audience | home_broker_not_in_subject_token
home | entra | 400 | invalid_grant | AADSTS500131: Assertion audience does not match | home_broker_not_in_subject_token
home | entra | 400 | invalid_grant | AADSTS50013: Assertion failed signature validation | home_subject_token_refused
home | keycloak | 400 | invalid_request | Parameter 'subject_token' supports access tokens only | home_subject_token_type
home | spring | 400 | unsupported_token_type | OAuth 2.0 Token Exchange parameter: requested_token_type | home_requested_token_type
home | uaa | 401 | invalid_grant | Invalid requested token type, only access_token | home_requested_token_type
home | keycloak | 400 | invalid_request | Requested audience not available: x | home_target_not_allowed
home | wso2 | 400 | invalid_target | Invalid audience value provided : x | home_target_unknown
home | uaa | 401 | invalid_grant | Insufficient permissions, x is missing. | home_exchange_permission
home | zitadel | 400 | invalid_target | resource parameter not supported | home_resource_refused
home | rauthy | 400 | invalid_target |  | home_target_unknown
home | keycloak | 400 | invalid_request | Standard token exchange is not enabled for the requested client | home_grant_not_enabled
home | pingam | 400 | unauthorized_client | The authenticated client is not authorized to use this authorization grant type. | home_grant_not_enabled
home | - | 400 | unsupported_grant_type |  | home_grant_not_enabled
partner | authentik | 400 | unsupported_grant_type |  | partner_grant_other_form
partner | - | 400 | unsupported_grant_type |  | partner_grant_not_enabled
partner | authgent | 400 | invalid_request | Identity chaining is not configured on this server | partner_grant_not_enabled
home | keycloak | 400 | invalid_scope | Missing consents for Token Exchange in client X | home_consent
home | keycloak | 400 | invalid_scope | Invalid scopes: x | home_scope_refused
partner | keycloak | 400 | invalid_grant | No Identity Provider for provided issuer | partner_issuer_untrusted
partner | keycloak | 400 | invalid_grant | Invalid signature | partner_signature
partner | keycloak | 400 | invalid_grant | Invalid signature algorithm | partner_algorithm
partner | keycloak | 400 | invalid_grant | Multiple audiences not allowed | partner_audience_not_single
partner | keycloak | 400 | invalid_grant | Token was issued in the future | partner_clock
partner | keycloak | 400 | invalid_grant | User not found | partner_user_unknown
partner | ts33180 | 400 | invalid_grant | Invalid token audience | partner_audience
partner | wso2 | 400 | invalid_grant | None of the audience values matched the tokenEndpoint Alias x | partner_audience
partner | janssen | 400 | invalid_request | 'aud' is invalid. | partner_audience
partner | uaa | 401 | invalid_grant | Some parties were not in the token audience: x | partner_audience
partner | hydra | 400 | jti_known | The jti was already used. | partner_replay
partner | hydra | 400 | invalid_grant | No public JWK was registered for issuer x | partner_key_unknown
partner | authgent | 400 | invalid_grant | Untrusted assertion issuer: x | partner_issuer_untrusted
partner | authgent | 400 | invalid_grant | Assertion missing 'kid' header | partner_kid
partner | authgent | 400 | invalid_grant | Assertion missing jti | partner_jti_missing
partner | authgent | 400 | invalid_grant | Assertion has already been consumed (replay detected) | partner_replay
partner | auth0 | 400 | invalid_grant | Assertion is invalid or has expired | partner_assertion_refused
partner | authentik | 400 | invalid_grant |  | partner_assertion_refused
partner | entra | 400 | invalid_grant | AADSTS50013: x | partner_own_tokens_only
home | keycloak | 418 | teapot | short and stout | home_not_known
partner | - | 400 | teapot |  | partner_not_known";

#[test]
fn the_same_mistake_is_known_by_different_signals() {
    for line in MISTAKES.lines() {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [leg, product, status, error, text, expected] = columns[..] else { panic!("{line}") };
        let leg = if leg == "home" { Leg::Home } else { Leg::Partner };
        let product = Some(product).filter(|product| *product != "-");
        assert_eq!(cause(leg, product, status.parse().unwrap(), error, text), expected, "{line}");
    }
}

#[test]
fn the_brokers_own_codes_and_words_lead_to_a_cause() {
    let by_code = |leg, code, reason| diagnose(&Seen::new(leg, None, code).because(reason)).name.as_str();
    for (leg, code, reason, expected) in [
        (Leg::Partner, "partner_unreachable", "it cannot be reached", "partner_unreachable"),
        (Leg::Partner, "partner_unreachable", "its certificate has expired", "partner_certificate_expired"),
        (Leg::Partner, "partner_endpoints", "its metadata states another issuer", "partner_other_issuer"),
        (Leg::Home, "home_unavailable", "it answered 429: not available", "home_too_many_requests"),
        (
            Leg::Home,
            "security_token_mismatch",
            "its aud does not carry \"x\": and aud is the broker's own id",
            "home_audience_is_broker",
        ),
        (Leg::Home, "security_token_mismatch", "anything else", "home_mismatch"),
        (Leg::Partner, "partner_response", "expires_in is missing", "partner_expires_in"),
        (Leg::Partner, "something_new", "", "partner_not_known"),
    ] {
        assert_eq!(by_code(leg, code, reason), expected, "{code} {reason}");
    }
    assert!(!diagnose(&Seen::new(Leg::Home, None, "something_new")).is_known());
    assert!(diagnose(&Seen::new(Leg::Home, None, "home_unavailable")).is_known());
}

/// Every signal leads to its own cause, so none is dead: no other row claims all that it describes.
#[test]
fn every_signal_leads_to_its_cause() {
    for (cause, signals) in &table().rows {
        for signal in signals {
            let error = if signal.error.is_empty() { "something_else" } else { &signal.error };
            let answered = signal.status != 0 || !signal.error.is_empty() || !signal.text.is_empty();
            let status = if signal.status == 0 { 400 } else { signal.status };
            let refusal = answered.then(|| refusal(status, error, &signal.text));
            let product = (!signal.product.is_empty()).then_some(signal.product.as_str());
            let seen = Seen::new(cause.leg, product, &signal.code).refused(refusal.as_ref());
            let found = diagnose(&seen.because(&signal.reason));
            assert_eq!(found.name, cause.name, "{signal:?}");
        }
    }
}

#[test]
fn every_name_key_product_and_code_exists() {
    let rows = &table().rows;
    let names: BTreeSet<&str> = rows.iter().map(|(cause, _)| cause.name.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "a name stands for one cause");
    let presets: BTreeSet<&str> = crate::config::presets().map(|(name, _)| name).collect();
    for (cause, signals) in rows {
        if let (Some(key), Some(file)) = (&cause.key, cause.file()) {
            let schema = match file {
                File::Broker => crate::config::schema::broker(),
                File::Partner => crate::config::schema::partner(),
            };
            let schema = schema.to_value();
            assert!(has_key(&schema, &schema, key), "{}: no key {key} in {file:?}", cause.name);
        }
        let says_nothing =
            cause.remedy.to_lowercase().contains("nothing") && cause.remedy.contains("our files");
        assert!(!says_nothing || cause.key.is_none(), "{}: a key that mends nothing", cause.name);
        assert!(
            !cause.cause.is_empty() && cause.cause.ends_with('.') && cause.remedy.ends_with('.'),
            "{}",
            cause.name
        );
        for signal in signals {
            assert!(signal.product.is_empty() || presets.contains(&*signal.product), "{}", signal.product);
            let code = &signal.code;
            assert!(code.is_empty() || ERRORS.contains(&format!("`{code}`")), "docs/errors.md has no {code}");
        }
    }
}

/// Whether a file of this schema may have the dotted key.
fn has_key(root: &Value, schema: &Value, key: &str) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        return has_key(root, root.pointer(reference.trim_start_matches('#')).unwrap(), key);
    }
    let parts = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|form| schema[form].as_array()).flatten();
    let mut inside = parts.chain(schema.get("items"));
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    let named = schema["properties"].get(first);
    let here = named.is_some_and(|named| rest.is_none_or(|rest| has_key(root, named, rest)));
    here || inside.any(|part| has_key(root, part, key))
}

#[test]
fn a_key_is_found_where_it_is_and_nowhere_else() {
    let schemas = [crate::config::schema::broker(), crate::config::schema::partner()];
    let [broker, partner] = schemas.map(schemars::Schema::to_value);
    for (key, is_brokers, is_partners) in [
        ("home.client.secret_file", true, false),
        ("clients.partners", true, false),
        ("client.secret_file", false, true),
        ("enabled", false, true),
        ("home.scopes.map", false, false),
        ("scopes.map", false, true),
    ] {
        assert_eq!(has_key(&broker, &broker, key), is_brokers, "{key}");
        assert_eq!(has_key(&partner, &partner, key), is_partners, "{key}");
    }
    // So that the first table says whose a key is.
    let tables = |schema: &Value| -> BTreeSet<String> {
        schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| !key.starts_with('#'))
            .cloned()
            .collect()
    };
    assert_eq!(tables(&broker), BROKER_TABLES.map(str::to_owned).into());
    assert!(tables(&partner).is_disjoint(&tables(&broker)));
}

/// A signal by the broker's own words is deaf when those are reworded.
#[test]
fn the_brokers_own_words_are_in_its_sources() {
    let (mut sources, mut places) =
        (String::new(), vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")]);
    while let Some(place) = places.pop() {
        if place.ends_with("src/diagnosis") {
            continue;
        }
        if place.is_dir() {
            places.extend(std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|extension| extension == "rs") {
            sources += &std::fs::read_to_string(place).unwrap();
        }
    }
    let reasons = table().rows.iter().flat_map(|(_, signals)| signals).map(|signal| signal.reason.as_str());
    for reason in reasons.filter(|reason| !reason.is_empty()) {
        // A status stands in a place of its own.
        let constant = reason.trim_end_matches(|character: char| character.is_ascii_digit());
        assert!(sources.contains(constant), "{reason:?} is said nowhere");
    }
}

#[test]
fn words_count_more_than_the_product_and_that_more_than_the_answer() {
    let refusal = refusal(400, "invalid_grant", "the words");
    let seen = Seen::new(Leg::Partner, Some("keycloak"), "code").refused(Some(&refusal)).because("a reason");
    let signal = |text: &str| toml::from_str::<super::signal::Signal>(text).unwrap().fit(&seen).unwrap();
    for pair in [
        r#"text = "the words""#,
        r#"product = "keycloak"
           status = 400
           error = "invalid_grant"
           code = "code""#,
        r#"product = "keycloak""#,
        r#"status = 400
           error = "invalid_grant"
           code = "code""#,
        r#"error = "invalid_grant""#,
        r#"code = "code""#,
        "",
    ]
    .windows(2)
    {
        assert!(signal(pair[0]) > signal(pair[1]), "{pair:?}");
    }
    assert!(signal("text = \"the words\"") > signal("text = \"words\""), "the longer");
}

#[test]
fn what_the_server_wrote_stays_here() {
    let refusal = refusal(400, "invalid_grant", "User not found: alice@example.org");
    let cause = diagnose(&Seen::new(Leg::Partner, Some("keycloak"), "").refused(Some(&refusal)));
    assert_eq!(cause.name, "partner_user_unknown");
    assert!(!format!("{cause:?} {cause}").contains("alice"));
}
