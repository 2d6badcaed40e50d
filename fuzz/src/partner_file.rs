//! A partner file, by whoever may write one: a definition, or problems that name file and key. Never anything in between.

use std::path::Path;
use std::sync::LazyLock;

use mcx_token_broker::config::{self, PartnerDefaults, PartnerFile, Problem, Sources};
use toml::Value;

/// What is written where a secret belongs. It is in no problem.
const CANARY: &str = "canary-of-a-secret";

static DEFAULTS: LazyLock<PartnerDefaults> = LazyLock::new(|| {
    let overrides = [("home.client.id", "mcx-broker"), ("home.client.secret", "s")];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let sources = Sources { overrides, ..Sources::default() };
    config::load(&sources).expect("the defaults are a configuration").partner_defaults
});

/// The input is the text of the file.
pub fn check(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    // It is the fuzzer that must not open devices.
    if ["dev/", "proc/", "sys/"].iter().any(|part| text.contains(part)) {
        return false;
    }
    let read_as = read(text);
    // What is nested too deep is for nobody's recursion.
    let is_deep = |problem: &Problem| problem.problem.contains("levels deep");
    let is_deep = read_as.as_ref().is_err_and(|problems| problems.iter().any(is_deep));
    let table = if is_deep { None } else { text.parse::<toml::Table>().ok().map(Value::Table) };
    let hidden = text.contains(CANARY) && table.as_ref().is_none_or(|table| !is_in_a_key(table));
    match read_as {
        Ok(partner) => {
            let table = table.expect("it is TOML");
            definition(&partner);
            problems(&partner.warnings, hidden);
            let commented = read(&format!("{text}\n# Nothing.\n")).expect("a comment is no problem");
            assert_eq!(commented.epoch, partner.epoch);
            if hidden && text.matches(CANARY).count() == 1 && is_the_secret(&table) {
                assert!(!format!("{partner:?}").contains(CANARY), "{partner:?}");
            }
            true
        }
        Err(found) => {
            let found: Vec<Problem> = found.into_iter().collect();
            assert!(!found.is_empty());
            problems(&found, hidden);
            false
        }
    }
}

/// Reads the text of `fire.toml`.
pub fn read(text: &str) -> Result<PartnerFile, config::Problems> {
    config::parse_partner(Path::new("fire.toml"), text, &DEFAULTS)
}

/// Each is one line for people that says where to write what.
fn problems(problems: &[Problem], hidden: bool) {
    assert!(problems.len() < 2000, "{} problems", problems.len());
    for problem in problems {
        let shown = problem.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert_eq!(problem.file, "fire.toml", "{shown}");
        assert!(!problem.problem.is_empty() && !problem.remedy.is_empty(), "{shown}");
        assert!(!hidden || !shown.contains(CANARY), "{shown}");
    }
}

/// What a partner in service must be.
fn definition(partner: &PartnerFile) {
    assert_eq!(partner.id, "fire");
    if !partner.enabled {
        return;
    }
    assert!(!partner.resource.trim().is_empty() && !partner.idm.issuer.trim().is_empty());
    let endpoints = [&partner.idm.token_endpoint, &partner.idm.revocation_endpoint];
    assert!(partner.idm.discovery || partner.idm.token_endpoint.is_some());
    for endpoint in endpoints.into_iter().flatten() {
        let lower = endpoint.trim().to_ascii_lowercase();
        let is_loopback =
            ["http://127.", "http://localhost", "http://[::1]"].iter().any(|at| lower.starts_with(at));
        assert!(lower.starts_with("https:") || is_loopback || partner.connection.allow_http, "{endpoint}");
    }
    assert!(!partner.scopes.allowed.is_empty());
    assert!(partner.scopes.default.is_subset(&partner.scopes.allowed));
    let connection = &partner.connection;
    for timeout in [connection.connect_timeout, connection.timeout] {
        assert!((10..=120_000).contains(&timeout.as_millis()), "{timeout:?}");
    }
    assert!((1024..=16 * 1024 * 1024).contains(&connection.max_response_bytes));
    assert!(connection.max_in_flight > 0 && connection.retries <= 5);
    assert!(!partner.grant.max_lifetime.is_zero());
}

fn is_in_a_key(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_in_a_key),
        Value::Table(table) => table.iter().any(|(name, item)| name.contains(CANARY) || is_in_a_key(item)),
        _ => false,
    }
}

fn is_the_secret(table: &Value) -> bool {
    let secret = table.get("client").and_then(|client| client.get("secret")?.as_str());
    secret == Some(CANARY)
}
