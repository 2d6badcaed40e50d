use std::collections::BTreeSet;

use super::*;

const REFERENCE: &str = include_str!("../../../docs/configuration.md");

/// The keys in the table under the heading.
pub(super) fn documented(heading: &str) -> BTreeSet<String> {
    let section = REFERENCE
        .split("\n### ")
        .find_map(|section| section.strip_prefix(&format!("{heading}\n")))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n# ").next().unwrap();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

/// The keys that a table takes, as the complaint about an unknown one lists them.
fn known(problems: &Problems) -> BTreeSet<String> {
    let remedy = &problems.iter().find(|problem| problem.key.ends_with("qqqqqqqq")).unwrap().remedy;
    remedy.split_once("known keys here: ").unwrap().1.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    for table in [
        "server",
        "server.tls",
        "admin",
        "admin.tls",
        "log",
        "traces",
        "partners",
        "home",
        "home.client",
        "signing",
        "cache",
    ] {
        let problems = Setup::new(&format!("[{table}]\nqqqqqqqq = 1\n")).problems();
        assert_eq!(known(&problems), documented(&format!("`[{table}]`")), "{table}");
    }
    for table in ["clients", "signing.keys"] {
        let problems = Setup::new(&format!("[[{table}]]\nqqqqqqqq = 1\n")).problems();
        assert_eq!(known(&problems), documented(&format!("`[[{table}]]`")), "{table}");
    }
    for table in ["idm", "security_token", "security_token.mint", "grant", "scopes", "connection", "exchange"]
    {
        let problems = partner(&format!("[{table}]\nqqqqqqqq = 1\n")).unwrap_err();
        assert_eq!(known(&problems), documented(&format!("`[{table}]`")), "{table}");
    }
    assert_eq!(known(&partner("qqqqqqqq = 1\n").unwrap_err()), documented("Top level"));
}

#[test]
fn the_reference_has_every_preset() {
    let listed: BTreeSet<&str> = REFERENCE
        .split_once("\n# Presets\n")
        .unwrap()
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(listed, presets().map(|(name, _)| name).collect());
}

/// What an operator writes down to begin with; the named secrets are not here.
#[test]
fn a_usual_pair_of_files_lacks_nothing_but_its_secrets() {
    let setup = Setup::new(
        r#"
        [server]
        listen = "127.0.0.1:8080"
        issuer = "https://broker.home.example"
        [home]
        issuer = "https://idm.home.example"
        audience = ["mcx"]
        token_profile = "rfc9068"
        [home.client]
        id = "mcx-broker"
        authentication = "client_secret_basic"
        secret_file = "home"
        [[clients]]
        id = "mcptt_client"
        authentication = "none"
        partners = ["county-fire"]
        [cache]
        redis = "rediss://redis.home.example/0"
        sealing_key_files = ["seal-2026-11", "seal-2026-05"]
        "#,
    )
    .partner(
        "county-fire",
        r#"
        display_name = "County Fire & Rescue"
        resource     = "https://idm.county-fire.example"
        domains      = ["mcx.county-fire.example"]
        preset       = "keycloak"
        [idm]
        issuer = "https://idm.county-fire.example"
        [client]
        id = "mcx-home"
        authentication = "client_secret_basic"
        secret_file = "county-fire"
        [security_token]
        source   = "exchange"
        audience = "https://idm.county-fire.example"
        [grant]
        type = "jwt-bearer"
        [scopes]
        allowed = ["openid", "3gpp:mc:ptt_group_management_service"]
        default = ["3gpp:mc:ptt_group_management_service"]
        "#,
    );
    let expected = [
        "home.client.secret_file",
        "cache.sealing_key_files[0]",
        "cache.sealing_key_files[1]",
        "client.secret_file",
    ];
    assert_eq!(setup.keys(), expected);
}
