use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::reference::documented;
use super::*;

/// The committed schemas, by the name of their file.
const NAMES: [&str; 3] = ["broker", "partner", "preset"];

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn generated(name: &str) -> Value {
    let schema = match name {
        "broker" => crate::config::schema::broker(),
        "partner" => crate::config::schema::partner(),
        _ => crate::config::schema::preset(),
    };
    schema.to_value()
}

fn committed(name: &str) -> Value {
    let text = std::fs::read_to_string(shipped(&format!("config/schema/{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The schemas as a reader that others wrote understands them.
struct Reader(Schemas, Vec<(&'static str, SchemaIndex)>);

impl Reader {
    fn new() -> Self {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        let mut compiled = Vec::new();
        for name in NAMES {
            let place = format!("file:///{name}.json");
            compiler.add_resource(&place, generated(name)).unwrap();
            compiled.push((name, compiler.compile(&place, &mut schemas).unwrap()));
        }
        Self(schemas, compiled)
    }

    fn accepts(&self, name: &str, text: &str) -> Result<(), String> {
        let (_, index) = self.1.iter().find(|(known, _)| *known == name).unwrap();
        let file: toml::Table = text.parse().unwrap();
        let value = serde_json::to_value(file).unwrap();
        self.0.validate(&value, *index).map_err(|error| error.to_string())
    }
}

/// What is TOML and no configuration of the broker.
const OTHER: [&str; 1] = ["credentials.toml"];

/// Every configuration file below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "toml")
            && !OTHER.iter().any(|other| path.ends_with(other))
        {
            found.push(path);
        }
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_types_that_read_the_files() {
    for name in NAMES {
        assert!(
            committed(name) == generated(name),
            "`cargo run -- partners schema {name} > config/schema/{name}.json`, and commit it"
        );
    }
}

#[test]
fn every_shipped_file_names_its_schema_and_is_what_that_says() {
    let reader = Reader::new();
    let mut shipped_files = Vec::new();
    for directory in ["config", "deploy"] {
        files(&shipped(directory), &mut shipped_files);
    }
    assert!(shipped_files.len() > presets().count(), "{shipped_files:?}");
    for path in shipped_files {
        let text = std::fs::read_to_string(&path).unwrap();
        let named = text.lines().next().unwrap().strip_prefix("#:schema ").unwrap_or_else(|| {
            panic!("{}: the first line does not name a schema", path.display());
        });
        let schema = path.parent().unwrap().join(named).canonicalize().unwrap();
        assert_eq!(schema.parent().unwrap(), shipped("config/schema").canonicalize().unwrap());
        let name = schema.file_stem().unwrap().to_str().unwrap();
        reader.accepts(name, &text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn what_the_broker_would_refuse_an_editor_marks() {
    let reader = Reader::new();
    reader.accepts("partner", FIRE).unwrap();
    for wrong in [
        "resourse = \"https://idm.fire.example\"",
        "domains = \"fire.example\"",
        "preset = \"keycloack\"",
        "[client]\nauthentication = \"basic\"",
        "[grant]\nscope = \"all\"",
        "[security_token]\nalgorithms = [\"HS256\"]",
        "[connection]\ntimeout = 5",
        "[connection]\nretries = -1",
    ] {
        assert!(reader.accepts("partner", wrong).is_err(), "{wrong}");
        assert!(partner(&format!("enabled = true\n{wrong}")).is_err(), "{wrong}");
    }
    assert!(reader.accepts("preset", "[partner]\nresourse = \"x\"").is_err());
    assert!(reader.accepts("broker", "[server]\nlisten = 8080").is_err());
}

/// The keys of the table at the dotted `path`, and what is said of each.
fn properties<'s>(schema: &'s Value, path: &str) -> &'s serde_json::Map<String, Value> {
    let mut table = schema;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let property = &table["properties"][part];
        let items = property.get("items").unwrap_or(property);
        let named = items.get("$ref").unwrap_or_else(|| &items["allOf"][0]["$ref"]);
        let pointer = named.as_str().unwrap_or_else(|| panic!("{path}: {part} is no table"));
        table = schema.pointer(pointer.trim_start_matches('#')).unwrap();
    }
    table["properties"].as_object().unwrap()
}

#[test]
fn the_schemas_have_every_key_of_the_reference_and_explain_it() {
    let keys = |schema: &Value, path: &str| -> BTreeSet<String> {
        let found = properties(schema, path);
        for (key, about) in found {
            assert!(about["description"].as_str().is_some_and(|text| text.len() > 10), "{path}: {key}");
        }
        found.keys().cloned().collect()
    };
    let broker = generated("broker");
    for table in [
        "server",
        "server.tls",
        "admin",
        "admin.tls",
        "secrets",
        "log",
        "audit",
        "traces",
        "partners",
        "home",
    ] {
        assert_eq!(keys(&broker, table), documented(&format!("`[{table}]`")), "{table}");
    }
    for table in ["home.client", "signing", "cache"] {
        assert_eq!(keys(&broker, table), documented(&format!("`[{table}]`")), "{table}");
    }
    for table in ["signing.keys", "clients", "rules"] {
        assert_eq!(keys(&broker, table), documented(&format!("`[[{table}]]`")), "{table}");
    }
    let partner = generated("partner");
    for table in ["idm", "security_token", "security_token.mint", "grant", "scopes", "connection", "exchange"]
    {
        assert_eq!(keys(&partner, table), documented(&format!("`[{table}]`")), "{table}");
    }
    assert_eq!(keys(&partner, "client"), documented("`[home.client]`"));
    assert_eq!(keys(&partner, ""), documented("Top level"));
    let preset = generated("preset");
    assert_eq!(keys(&preset, "partner"), keys(&partner, ""));
    assert_eq!(keys(&preset, "home"), keys(&broker, "home"));
}

/// A schema that held a configured or compiled-in secret would publish it.
#[test]
fn no_secret_has_a_default() {
    for name in NAMES {
        let definitions = &generated(name)["definitions"];
        for (table, key) in [("RegistrationTable", "secret"), ("ClientTable", "secret")] {
            if let Some(property) = definitions[table]["properties"].get(key) {
                assert_eq!(property.get("default"), None, "{table}.{key}");
                assert_eq!(property["type"], json!("string"), "{table}.{key}");
            }
        }
    }
}
