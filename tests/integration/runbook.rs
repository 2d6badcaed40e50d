//! The runbook and the error reference: every code and every alert has its entry, and no entry leads nowhere.

use std::collections::BTreeSet;
use std::path::Path;

use crate::documents::sources;

const RUNBOOK: &str = include_str!("../../docs/operations.md");

/// The stable codes: those that the program states, and those that it knows causes of.
fn codes() -> BTreeSet<&'static str> {
    let sources = [include_str!("../../src/api/error.rs"), include_str!("../../src/exchange/error.rs")];
    let mut codes: BTreeSet<&str> = sources.into_iter().flat_map(str::lines).filter_map(code_in).collect();
    assert!(codes.len() > 50, "the codes are found: {codes:?}");
    let causes = include_str!("../../src/diagnosis/causes.toml").split("code = \"").skip(1);
    codes.extend(causes.filter_map(|rest| rest.split('"').next()));
    codes
}

/// The code on a line such as `Self::Unknown => "client_unknown",` or `refused: "home_refused",`.
fn code_in(line: &str) -> Option<&str> {
    let value =
        [" => \"", ": \""].into_iter().find_map(|before| line.split_once(before)).map(|(_, rest)| rest);
    let (code, rest) = value.or_else(|| line.trim().strip_prefix('"'))?.split_once('"')?;
    let is_code = code.contains('_') && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_code && rest.trim_end_matches(',').is_empty()).then_some(code)
}

/// Headings of the runbook with what stands below them.
fn entries() -> Vec<(&'static str, &'static str)> {
    let entries = RUNBOOK.split("\n### ").skip(1).filter_map(|entry| entry.split_once('\n'));
    entries.map(|(name, text)| (name, text.split("\n## ").next().unwrap_or_default().trim())).collect()
}

/// Both directions: a code that nobody explains leaves an operator alone, and an explained one that does not exist
/// misleads.
#[test]
fn the_error_reference_has_every_stable_code_and_no_other_and_leads_to_the_runbook() {
    let document = include_str!("../../docs/errors.md");
    let links = document.split("[`").skip(1).filter_map(|rest| rest.split_once(')'));
    let codes_and_targets = links.filter_map(|(link, _)| link.split_once("`](operations.md#"));
    let explained: BTreeSet<&str> = codes_and_targets
        .map(|(code, target)| {
            assert_eq!(code, target);
            code
        })
        .collect();
    assert_eq!(codes(), explained);
}

#[test]
fn the_runbook_has_one_entry_for_each_code() {
    let names: Vec<&str> = entries().into_iter().map(|(name, _)| name).collect();
    let of_codes: Vec<&str> = names.iter().copied().filter(|name| !is_alert(name)).collect();
    let once: BTreeSet<&str> = of_codes.iter().copied().collect();
    assert_eq!(once.len(), of_codes.len(), "each stands there once");
    assert_eq!(codes(), once);
    for (name, text) in entries() {
        assert!(text.len() > 30, "{name} says something");
    }
}

/// The alerts that have an entry.
pub(crate) fn alerts_of_the_runbook() -> BTreeSet<&'static str> {
    entries().into_iter().map(|(name, _)| name).filter(|name| is_alert(name)).collect()
}

fn is_alert(name: &str) -> bool {
    name.starts_with("McxBroker")
}

/// Links within the runbook, and those of log lines, which the sources name.
#[test]
fn whatever_names_an_entry_of_the_runbook_finds_it() {
    let anchors: BTreeSet<String> = RUNBOOK
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
        .collect();
    let links = RUNBOOK.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links {
        assert!(anchors.contains(link), "the runbook has no {link}");
    }
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let named: Vec<_> =
        source.split("Runbook(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(named.len() >= 8, "the sources name entries: {named:?}");
    for name in named {
        assert!(anchors.contains(&name.to_lowercase()), "the runbook has no {name}");
    }
}
