//! `partners schema` prints what is committed.

use std::path::Path;
use std::process::{Command, Output};

fn schema(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mcx-token-broker"))
        .args(["partners", "schema"])
        .args(arguments)
        .output()
        .expect("the binary runs")
}

#[test]
fn the_schemas_and_the_presets_are_printed_as_they_are_committed() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for (arguments, file) in [
        (&[] as &[&str], "schema/partner.json"),
        (&["broker"], "schema/broker.json"),
        (&["preset"], "schema/preset.json"),
        (&["--preset", "keycloak"], "presets/keycloak.toml"),
    ] {
        let printed = schema(arguments);
        assert!(printed.status.success(), "{arguments:?}");
        let committed = std::fs::read(config.join(file)).expect("the file is committed");
        assert_eq!(String::from_utf8_lossy(&printed.stdout), String::from_utf8_lossy(&committed), "{file}");
    }
    let unknown = schema(&["--preset", "keycloack"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("keycloak, okta"), "{unknown:?}");
}
