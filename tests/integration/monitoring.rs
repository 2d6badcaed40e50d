//! What monitors the broker: the alert rules and the dashboard, held against the metrics of a broker that runs, the
//! documents, and Prometheus' own checker.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::runbook::alerts_of_the_runbook;
use crate::support::broker::Answer;
use crate::support::ca::Ca;
use crate::support::federation::Setup;
use crate::support::http;

const RULES: &str = include_str!("../../deploy/prometheus/alerts.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/mcx-token-broker.json");
const REFERENCE: &str = include_str!("../../docs/metrics.md");

/// Whether it says that all is well, and what it says.
fn promtool(arguments: &[&str], directory: &Path) -> (bool, String) {
    let run = Command::new("promtool").args(arguments).current_dir(directory).output();
    let output = run.unwrap_or_else(|error| panic!("promtool (.ci/test installs it): {error}"));
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

fn rules_directory() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

#[test]
fn the_alert_rules_are_sound_and_do_what_their_tests_say() {
    for arguments in [["check", "rules", "alerts.yml"].as_slice(), &["test", "rules", "alerts_test.yml"]] {
        let (is_well, said) = promtool(arguments, &rules_directory());
        assert!(is_well, "{arguments:?}: {said}");
    }
}

/// A test that does not look passes whatever the rules say.
#[test]
fn each_alert_is_tested_where_it_fires_and_where_it_is_quiet() {
    let directory = tempfile::tempdir().unwrap();
    let tests = std::fs::read_to_string(rules_directory().join("alerts_test.yml")).unwrap();
    std::fs::write(directory.path().join("alerts_test.yml"), &tests).unwrap();
    let none_fires = RULES.replace("- alert: McxBroker", "- alert: Another");
    std::fs::write(directory.path().join("alerts.yml"), none_fires).unwrap();
    let (is_well, said) = promtool(&["test", "rules", "alerts_test.yml"], directory.path());
    assert!(!is_well);
    for alert in alerts() {
        assert!(
            said.contains(&format!("alertname: {alert},")),
            "{alert} is not tested where it fires: {said}"
        );
        let quiet = format!("alertname: {alert} }}");
        assert!(tests.contains(&quiet), "{alert} is not tested where it is quiet");
    }
}

/// In the order of the rules; one that has two severities twice.
fn alerts() -> Vec<&'static str> {
    RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn each_alert_has_its_entry_in_the_runbook_and_leads_there() {
    let alerts = alerts();
    let once: BTreeSet<&str> = alerts.iter().copied().collect();
    assert_eq!(once, alerts_of_the_runbook());
    let links: Vec<&str> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    let expected: Vec<String> =
        alerts.iter().map(|alert| format!("docs/operations.md#{}", alert.to_lowercase())).collect();
    assert_eq!(links, expected);
}

/// Words of a text that are names of metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("mcx_broker_") || word.starts_with("process_")).collect()
}

/// The samples that a broker shows, by their names, and their families.
async fn shown() -> (BTreeSet<String>, BTreeSet<String>) {
    let usual = Setup::new().start().await;
    assert_eq!(usual.exchange(&[]).await.status, 200);
    // What a listener without TLS has not got.
    let ca = Ca::new();
    let with_tls = usual.another_broker(&format!("[server.tls]\n{}", ca.issue_files("127.0.0.1")), "");
    let (mut samples, mut families) = (BTreeSet::new(), BTreeSet::new());
    for broker in [&usual.broker, &with_tls] {
        let answer = Answer::of(http().get(format!("{}/metrics", broker.admin_url()))).await;
        for family in answer.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = family.split_once(' ').unwrap();
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            if kind == "histogram" {
                samples.extend(["bucket", "count", "sum"].map(|part| format!("{name}_{part}")));
            } else {
                samples.insert(name.clone());
            }
            families.insert(name);
        }
    }
    (samples, families)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_named_exists_and_every_one_is_documented() {
    let (samples, families) = shown().await;
    for (what, text) in [("the rules", RULES), ("the dashboard", DASHBOARD)] {
        let named = named(text);
        assert!(named.len() >= 10, "{what} name metrics: {named:?}");
        for name in named {
            assert!(samples.contains(name), "{what} name {name}, which does not exist");
        }
    }
    let rows: BTreeSet<String> = named(REFERENCE).into_iter().map(str::to_owned).collect();
    assert_eq!(rows, families, "docs/metrics.md has each metric and no other");
    for document in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap() {
        let path = document.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for name in named(&text).into_iter().filter(|name| !name.ends_with('_')) {
            let is_known = samples.contains(name) || families.contains(name);
            assert!(is_known, "{} names {name}, which does not exist", path.display());
        }
    }
}

/// Every member of this name, however deep.
fn members<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(name));
            object.values().for_each(|value| members(value, name, found));
        }
        Value::Array(array) => array.iter().for_each(|value| members(value, name, found)),
        _ => {}
    }
}

/// As rules, for want of another reader: with a value for each of Grafana's variables.
#[test]
fn every_query_of_the_dashboard_can_be_parsed() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut queries = Vec::new();
    members(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 30, "{} queries", queries.len());
    let rules: Vec<Value> = queries
        .iter()
        .map(|query| {
            let query = query.as_str().unwrap().replace("$__rate_interval", "5m");
            let query = query.replace("$job", "j").replace("$replica", ".*").replace("$partner", ".*");
            assert!(!query.contains('$'), "{query}");
            json!({ "record": "dashboard:query", "expr": query, "labels": { "number": query } })
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(directory.path().join("rules.yml"), file.to_string()).unwrap();
    let (is_well, said) = promtool(&["check", "rules", "rules.yml"], directory.path());
    assert!(is_well, "{said}");
}
