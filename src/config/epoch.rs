//! The fingerprint of a partner's effective definition. It is a part of the cache key: what was obtained under another
//! definition (another audience, another client, fewer scopes) is never served under this one.

use config::{Value, ValueKind};

use super::layer::Tree;
use crate::secret::sha256;

/// Hashes the merged tree and `context`, every part with its kind and length, tables in the order of their keys. Secrets do
/// not go in: rotating one changes nothing about the tokens, and a digest of a weak one could be guessed from. Nor do limits:
/// who eases them because a partner has a bad day must not lose the tokens that get users through it.
pub(super) fn epoch(tree: &Tree, context: &[&str]) -> [u8; 32] {
    let mut bytes = Vec::new();
    for part in context {
        text(&mut bytes, part);
    }
    value(&mut bytes, tree.root(), "");
    sha256(&bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn value(bytes: &mut Vec<u8>, item: &Value, at: &str) {
    match &item.kind {
        ValueKind::Table(table) => {
            let left_out = |key: &str| match at {
                "" => key == "exchange",
                "client" => key == "secret",
                "connection" => !matches!(key, "ca_file" | "allow_http"),
                _ => false,
            };
            let mut entries: Vec<(&String, &Value)> =
                table.iter().filter(|(key, _)| !left_out(key)).collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            bytes.push(b't');
            bytes.extend_from_slice(&(entries.len() as u64).to_be_bytes());
            for (key, inner) in entries {
                text(bytes, key);
                value(bytes, inner, if at.is_empty() { key } else { "-" });
            }
        }
        ValueKind::Array(items) => {
            bytes.push(b'l');
            bytes.extend_from_slice(&(items.len() as u64).to_be_bytes());
            for inner in items {
                value(bytes, inner, "-");
            }
        }
        leaf => {
            bytes.push(match leaf {
                ValueKind::String(_) => b's',
                ValueKind::Boolean(_) => b'b',
                _ => b'n',
            });
            text(bytes, &leaf.to_string());
        }
    }
}
