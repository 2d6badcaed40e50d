//! From merged values to structs. Unlike the `config` crate's own reading it never coerces what a file states
//! (`secret = 1e3` is a fault, not the secret `1000`), never echoes a value in an error, and reports every fault.

use std::fmt;

use config::{Value, ValueKind};
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::layer::{ENVIRONMENT, FLAG, Tree, directory_of};
use super::problem::Problem;

/// More faults than anybody reads at once; also the end of the loop that finds them.
const MOST_FAULTS: usize = 100;

/// The name of the newtype whose text is a file name, made relative to the file that states it.
pub(super) const NAMED_FILE: &str = "NamedFile";

/// Reads the whole tree. What cannot be read is reported, taken out of the tree, and replaced by its default, so that
/// one fault does not hide the next. `None`: there are more faults than are worth listing.
pub(super) fn read<T: DeserializeOwned>(tree: &mut Tree, problems: &mut Vec<Problem>) -> Option<T> {
    for _ in 0..MOST_FAULTS {
        let fault = match T::deserialize(Node(tree.root())) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        let key = fault.key();
        problems.push(Problem::new(tree.file_of(&key), &key, fault.problem, fault.remedy));
        let path: Vec<String> = fault.path.into_iter().rev().collect();
        if !tree.remove(&path) {
            break;
        }
    }
    None
}

/// Why a value cannot be read. Says what the key takes, never what it was given.
#[derive(Debug)]
pub(super) struct Fault {
    /// From the value outwards.
    path: Vec<String>,
    problem: String,
    remedy: String,
}

impl Fault {
    fn expected(what: &dyn fmt::Display) -> Self {
        let what = match what.to_string().as_str() {
            "a sequence" => "a list such as [\"a\", \"b\"]".to_owned(),
            "a map" => "a table".to_owned(),
            "a string" => "a text in quotes".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
            other => other.to_owned(),
        };
        Self { path: Vec::new(), problem: format!("is not {what}"), remedy: format!("write {what}") }
    }

    fn at(mut self, part: String) -> Self {
        self.path.push(part);
        self
    }

    fn key(&self) -> String {
        let mut key = String::new();
        for part in self.path.iter().rev() {
            if !key.is_empty() && !part.starts_with('[') {
                key.push('.');
            }
            key.push_str(part);
        }
        key
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key(), self.problem)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// The text may hold the value: it is dropped.
    fn custom<T: fmt::Display>(_text: T) -> Self {
        Self {
            path: Vec::new(),
            problem: "is not a value that this key takes".into(),
            remedy: "see docs/configuration.md for what it takes".into(),
        }
    }

    fn invalid_type(_given: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(&expected)
    }

    fn invalid_value(_given: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(&expected)
    }

    fn invalid_length(_given: usize, expected: &dyn de::Expected) -> Self {
        Self::expected(&expected)
    }

    fn unknown_variant(_given: &str, known: &'static [&'static str]) -> Self {
        Self::expected(&one_of(known))
    }

    fn unknown_field(given: &str, known: &'static [&'static str]) -> Self {
        let remedy = nearest(given, known).map_or_else(
            || format!("remove it; known keys here: {}", known.join(", ")),
            |near| format!("did you mean {near}? Known keys here: {}", known.join(", ")),
        );
        Self { path: vec![given.to_owned()], problem: "is not a key of this table".into(), remedy }
    }
}

fn one_of(known: &[&str]) -> String {
    format!("one of {}", known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
}

/// The known key that differs from `given` in at most two places.
fn nearest<'k>(given: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .copied()
        .map(|name| (distance(given, name), name))
        .min()
        .filter(|(far, _)| *far <= 2)
        .map(|(_, name)| name)
}

/// Levenshtein's distance; what is too long to be a slip of the pen is simply far.
fn distance(one: &str, other: &str) -> usize {
    if one.len() > 64 {
        return usize::MAX;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, character) in one.chars().enumerate() {
        let mut next = vec![line + 1];
        for ((column, candidate), above) in other.iter().enumerate().zip(row.windows(2)) {
            let [diagonal, up] = *above else { continue };
            let left = next.get(column).copied().unwrap_or(usize::MAX - 1);
            next.push((diagonal + usize::from(*candidate != character)).min(up + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// A merged value as a serde input. `Nil` is what was taken out of the tree.
#[derive(Clone, Copy)]
struct Node<'v>(&'v Value);

impl Node<'_> {
    /// The text of an environment variable or a flag: those have no types, so the key decides.
    fn untyped(&self) -> Option<&str> {
        match (&self.0.kind, self.0.origin()) {
            (ValueKind::String(text), Some(ENVIRONMENT | FLAG)) => Some(text),
            _ => None,
        }
    }
}

macro_rules! untyped_number {
    ($($method:ident $visit:ident $number:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.untyped().and_then(|text| text.parse::<$number>().ok()) {
                Some(number) => visitor.$visit(number),
                None => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::Boolean(truth) => visitor.visit_bool(*truth),
            ValueKind::I64(number) => visitor.visit_i64(*number),
            ValueKind::Float(number) => visitor.visit_f64(*number),
            ValueKind::String(text) => visitor.visit_str(text),
            ValueKind::Table(table) => {
                let mut entries: Vec<(&str, &Value)> = table
                    .iter()
                    .filter(|(_, value)| !matches!(value.kind, ValueKind::Nil))
                    .map(|(key, value)| (key.as_str(), value))
                    .collect();
                entries.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
                visitor.visit_map(Entries { rest: entries, value: None })
            }
            ValueKind::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            // Taken out before; and no layer makes the others.
            ValueKind::Nil | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
                visitor.visit_unit()
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.untyped() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    untyped_number! {
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_i64 visit_i64 i64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    /// A list in one environment variable or flag is separated by commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.untyped() {
            Some(text) => {
                let items = text.split(',').map(str::trim).filter(|_| !text.is_empty());
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(Fault::expected(&one_of(variants))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.0.kind {
            ValueKind::String(text) if name == NAMED_FILE => {
                let path = directory_of(self.0.origin()).join(text);
                visitor.visit_newtype_struct(path.to_string_lossy().into_owned().into_deserializer())
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        map struct identifier ignored_any
    }
}

/// The entries of a table; taken from the end.
struct Entries<'v> {
    rest: Vec<(&'v str, &'v Value)>,
    value: Option<(&'v str, &'v Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.value = self.rest.pop();
        self.value.map(|(key, _)| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        match self.value.take() {
            Some((key, value)) => seed.deserialize(Node(value)).map_err(|fault| fault.at(key.to_owned())),
            None => Err(Fault::expected(&"a value")),
        }
    }
}

/// The items of a list. What was taken out keeps its number.
struct Items<'v> {
    items: &'v [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        while let Some(item) = self.items.get(self.next) {
            let number = self.next;
            self.next += 1;
            if !matches!(item.kind, ValueKind::Nil) {
                return seed
                    .deserialize(Node(item))
                    .map(Some)
                    .map_err(|fault| fault.at(format!("[{number}]")));
            }
        }
        Ok(None)
    }
}
