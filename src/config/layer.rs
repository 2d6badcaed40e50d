//! The layers of a configuration and what they merge to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError, Environment, Map, Source, Value, ValueKind};

use super::problem::Problem;
use super::table::{self, DEEPEST};

/// The origin of what environment variables state.
pub(super) const ENVIRONMENT: &str = "the environment";
/// The origin of what flags state.
pub(super) const FLAG: &str = "flag";
/// The prefix of the broker's environment variables; `__` separates the levels.
const PREFIX: &str = "MCX_BROKER";
/// The key that all layers are merged under.
const ROOT: &str = "root";

/// One layer: a table, each value of which knows where it was stated.
#[derive(Clone, Default)]
pub(super) struct Layer(Map<String, Value>);

/// Values may be secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Layer(***)")
    }
}

impl Layer {
    /// A layer from TOML. `origin` is the file's name, as problems will print it.
    pub(super) fn from_toml(text: &str, origin: &str) -> Result<Self, Problem> {
        let table = table::parse(text, origin)?;
        Ok(Self(table.into_iter().map(|(key, value)| (key, convert(value, &origin.to_owned()))).collect()))
    }

    /// A layer for each (dotted key, value) pair. Values stay text: the type of the key decides later how it is read, so
    /// that a secret `0012` stays `0012`.
    pub(super) fn from_pairs<'p>(
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
        origin: &str,
        problems: &mut Vec<Problem>,
    ) -> Vec<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let mut layers = Vec::new();
        for (key, value) in pairs {
            let parts: Vec<&str> = key.split('.').collect();
            if parts.len() > DEEPEST || parts.iter().any(|part| part.is_empty() || !part.bytes().all(plain)) {
                let remedy = "write the dotted key of the configuration reference, such as home.issuer";
                problems.push(Problem::new(label(origin, key), key, "is not a key", remedy));
                continue;
            }
            let leaf = Value::new(Some(&origin.to_owned()), value);
            let nested = parts.iter().rev().fold(leaf, |inner, part| {
                Value::new(None, ValueKind::Table(Map::from_iter([((*part).to_owned(), inner)])))
            });
            if let ValueKind::Table(table) = nested.kind {
                layers.push(Self(table));
            }
        }
        layers
    }

    /// The layers of the environment: `MCX_BROKER__SERVER__LISTEN` is `server.listen`.
    pub(super) fn from_environment(variables: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<Self> {
        let read = Environment::with_prefix(PREFIX)
            .separator("__")
            .try_parsing(false)
            .source(Some(variables.iter().cloned().collect()))
            .collect();
        // It is made of text already, so nothing in it can fail.
        let values: BTreeMap<String, String> = read
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(key, value)| value.into_string().ok().map(|text| (key, text)))
            .collect();
        let pairs = values.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Self::from_pairs(pairs, ENVIRONMENT, problems)
    }

    /// The table under `key` as a layer of its own, empty when it is not there.
    pub(super) fn table(&self, key: &str) -> Self {
        match self.0.get(key).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => Self(table.clone()),
            _ => Self::default(),
        }
    }

    /// A layer that states nothing but this one under `key`.
    pub(super) fn under(self, key: &str) -> Self {
        Self(Map::from_iter([(key.to_owned(), Value::new(None, ValueKind::Table(self.0)))]))
    }

    /// The text under a top-level key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The top-level keys, in order.
    pub(super) fn keys(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    /// Everything goes below one key: the crate reads top-level keys as paths, so that a file with the key
    /// `"x[999999999999]"` would have it allocate that many values. Further down a key is a key.
    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.clone().under(ROOT).0)
    }
}

fn convert(value: toml::Value, origin: &String) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(truth) => ValueKind::Boolean(truth),
        toml::Value::Datetime(date) => ValueKind::String(date.to_string()),
        toml::Value::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| convert(item, origin)).collect())
        }
        toml::Value::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, convert(value, origin))).collect())
        }
    };
    Value::new(Some(origin), kind)
}

/// How problems name the origin of `key`.
pub(super) fn label(origin: &str, key: &str) -> String {
    match origin {
        ENVIRONMENT => format!("environment {PREFIX}__{}", key.replace('.', "__").to_uppercase()),
        _ => origin.to_owned(),
    }
}

/// All layers in one tree.
pub(super) struct Tree {
    root: Value,
    /// Where a key that nobody states should be stated.
    home: String,
}

impl Tree {
    /// Merges `layers`, the later over the earlier. `home` is the file that an operator would add a missing key to.
    pub(super) fn new(layers: impl IntoIterator<Item = Layer>, home: String) -> Self {
        let builder = layers.into_iter().fold(Config::builder(), ConfigBuilder::<DefaultState>::add_source);
        // A layer never fails to be collected.
        let merged = builder.build().map(|config| config.cache).unwrap_or_default();
        let root = match merged.kind {
            ValueKind::Table(mut table) => table.remove(ROOT),
            _ => None,
        };
        Self { root: root.unwrap_or_else(|| Value::new(None, ValueKind::Table(Map::new()))), home }
    }

    /// The merged values.
    pub(super) const fn root(&self) -> &Value {
        &self.root
    }

    /// Takes the value at `path` out, so that reading can go on without it. Says whether there was one.
    pub(super) fn remove(&mut self, path: &[String]) -> bool {
        let Some(value) = path.iter().try_fold(&mut self.root, |value, part| child_mut(value, part)) else {
            return false;
        };
        let there = !matches!(value.kind, ValueKind::Nil);
        value.kind = ValueKind::Nil;
        there
    }

    /// The table at the dotted `key` as a layer.
    pub(super) fn layer(&self, key: &str) -> Layer {
        match self.get(key).map(|value| &value.kind) {
            Some(ValueKind::Table(table)) => Layer(table.clone()),
            _ => Layer::default(),
        }
    }

    /// Whether an operator, not the embedded defaults or a preset, states `key`.
    pub(super) fn is_stated(&self, key: &str) -> bool {
        self.get(key).and_then(origin_within).is_some_and(|origin| !is_shipped(origin))
    }

    /// The name of what states `key`; when nothing does, of the file that should.
    pub(super) fn file_of(&self, key: &str) -> String {
        // What is shipped is overridden where an operator writes, not corrected where it stands.
        if let Some(origin) = self.get(key).and_then(origin_within).filter(|origin| !is_shipped(origin)) {
            return label(origin, key);
        }
        let mut parent = key;
        while let Some(end) = parent.rfind(['.', '[']) {
            parent = parent.get(..end).unwrap_or_default();
            match self.get(parent).and_then(origin_within) {
                Some(origin) if !is_shipped(origin) && origin != ENVIRONMENT && origin != FLAG => {
                    return origin.to_owned();
                }
                _ => {}
            }
        }
        self.home.clone()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        key.split(['.', '[', ']'])
            .filter(|part| !part.is_empty())
            .try_fold(&self.root, |value, part| match &value.kind {
                ValueKind::Table(table) => table.get(part),
                ValueKind::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            })
            .filter(|value| !matches!(value.kind, ValueKind::Nil))
    }
}

fn child_mut<'v>(value: &'v mut Value, part: &str) -> Option<&'v mut Value> {
    match &mut value.kind {
        ValueKind::Table(table) => table.get_mut(part),
        ValueKind::Array(items) => {
            let index = part.strip_prefix('[')?.strip_suffix(']')?.parse::<usize>().ok()?;
            items.get_mut(index)
        }
        _ => None,
    }
}

/// The origin of a value; of a table, the origin of what an operator states in it, else of anything in it.
fn origin_within(value: &Value) -> Option<&str> {
    let origins: BTreeSet<&str> = match &value.kind {
        ValueKind::Table(table) => table.values().filter_map(origin_within).collect(),
        ValueKind::Array(items) if !items.is_empty() => items.iter().filter_map(origin_within).collect(),
        _ => return value.origin(),
    };
    origins
        .iter()
        .find(|origin| !is_shipped(origin))
        .or_else(|| origins.iter().next())
        .copied()
        .or(value.origin())
}

/// What comes with the binary, and no operator wrote.
fn is_shipped(origin: &str) -> bool {
    origin == super::EMBEDDED || origin.starts_with("preset ")
}

/// The directory that relative file names in something of this origin start from.
pub(super) fn directory_of(origin: Option<&str>) -> &Path {
    match origin {
        Some(file) if file != ENVIRONMENT && file != FLAG && !is_shipped(file) => {
            Path::new(file).parent().unwrap_or(Path::new(""))
        }
        _ => Path::new(""),
    }
}
