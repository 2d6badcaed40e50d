//! JSON Schema of the files, from the types that read them: what an editor completes and explains.
//!
//! Committed as `config/schema/*.json`, which the files name in their first line; a test compares. Nothing is required
//! in them: what one file leaves out may stand in a preset, in the broker file or in the environment, and `check` is
//! what knows all of these.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::home::HomeTable;
use super::partner::PartnerTable;
use super::preset::{DiscoveryHint, presets};
use super::value::{
    ALGORITHMS, Address, LegScopeForm, OneOrMoreSecrets, OptionalPeriod, OptionalScopes, Period, Scopes,
};
use super::{BrokerTable, file::NamedFile};
use crate::secret::Secret;

/// The schema of a partner file.
pub fn partner() -> Schema {
    of::<PartnerTable>("A partner file of mcx-token-broker")
}

/// The schema of a broker file.
pub fn broker() -> Schema {
    of::<BrokerTable>("The broker file of mcx-token-broker")
}

/// The schema of a preset.
pub fn preset() -> Schema {
    of::<PresetTables>("A preset of mcx-token-broker")
}

/// What is known of a product, by the role that it plays.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "a preset is read as a layer; this says what may be in it")]
struct PresetTables {
    /// A layer under `[home]` of the broker file.
    home: Option<HomeTable>,
    /// A layer under a partner file.
    partner: Option<PartnerTable>,
    /// How the product's metadata is known from others': `partners add` proposes the preset then.
    discovery: Option<DiscoveryHint>,
}

/// Draft 7: the newest that the TOML language servers of editors read.
fn of<T: JsonSchema>(title: &str) -> Schema {
    let settings = SchemaSettings::draft07().with_transform(RecursiveTransform(tidy));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema
}

/// TOML has no null; that a key is not stated by default needs no saying; and comments break lines where the source does.
fn tidy(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    if schema.get("default").is_some_and(nothing) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        forms.retain(|form| form.get("type").is_none_or(|name| name != "null"));
        if let [only] = forms.as_mut_slice() {
            let only = only.take();
            schema.remove("anyOf");
            schema.insert("allOf".into(), Value::Array(vec![only]));
        }
    }
}

/// Values with a form of their own, where they stand.
macro_rules! forms {
    ($($name:ident $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

/// The name of one of the presets, or nothing.
pub(super) struct PresetName;
/// The name of an asymmetric signature algorithm.
pub(super) struct AlgorithmName;

forms! {
    Secret { "type": "string" }
    NamedFile { "type": "string", "title": "file", "examples": ["/run/secrets/name"] }
    Period { "type": "string", "title": "duration", "examples": ["30s", "5m", "1h 30m"] }
    OptionalPeriod { "type": "string", "title": "duration", "examples": ["30s", "5m", "1h 30m"] }
    Address { "type": "string", "title": "address:port", "examples": ["127.0.0.1:8080"] }
    Scopes { "type": ["array", "string"], "title": "scopes", "items": { "type": "string" } }
    OptionalScopes { "type": ["array", "string"], "title": "scopes", "items": { "type": "string" } }
    LegScopeForm {
        "anyOf": [
            { "enum": ["omit", "granted"] },
            { "type": "array", "items": { "type": "string" } }
        ]
    }
    OneOrMoreSecrets { "type": ["array", "string"], "items": { "type": "string" } }
    PresetName { "enum": (presets().map(|(name, _)| name).chain([""]).collect::<Vec<_>>()) }
    AlgorithmName { "enum": (ALGORITHMS) }
}
