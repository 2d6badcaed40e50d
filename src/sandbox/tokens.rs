//! What the IdM has issued: access, refresh, ID and security tokens, and authorization codes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use serde_json::{Map, Value};

use super::locked;
use crate::random;
use crate::secret::sha256;

/// A set of scopes.
pub(super) type Scopes = BTreeSet<String>;

/// More live tokens than any demonstration or load test holds: beyond it the expired ones are swept out.
const SWEEP_AT: usize = 50_000;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bearer token for services, and the subject of an exchange.
    Access,
    /// RFC 6749 §6.
    Refresh,
    /// OpenID Connect.
    Id,
    /// B.8: good for a partner IdM only.
    Security,
}

/// An issued token. It is found by its digest; the claims are what a JWT says and introspection answers.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    pub(super) kind: Kind,
    pub(super) subject: String,
    /// The client it was issued to.
    pub(super) client: String,
    pub(super) scope: Scopes,
    /// Seconds since the epoch.
    pub(super) expires: i64,
    /// All tokens of one login: they are revoked together.
    pub(super) family: String,
    pub(super) claims: Map<String, Value>,
}

impl Issued {
    /// The values of `aud`.
    pub(super) fn audience(&self) -> Vec<String> {
        texts(self.claims.get("aud"))
    }
}

/// A string or an array of strings.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A `scope` in either form.
pub(super) fn scopes(value: Option<&Value>) -> Scopes {
    texts(value)
        .iter()
        .flat_map(|text| text.split(' '))
        .filter(|scope| !scope.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The space-delimited form.
pub(super) fn spaced(scopes: &Scopes) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// A random UUID (RFC 9562 §5.4): the look of an opaque token.
pub(super) fn uuid() -> String {
    let mut bytes = random::bytes::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Every token that is out.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Issued>>);

impl Tokens {
    pub(super) fn remember(&self, token: &str, issued: Issued, now: i64) {
        let mut tokens = locked(&self.0);
        if tokens.len() >= SWEEP_AT {
            tokens.retain(|_, issued| issued.expires > now);
        }
        tokens.insert(sha256(token.as_bytes()), issued);
    }

    /// The token, if it is out, unexpired and not revoked.
    pub(super) fn live(&self, token: &str, now: i64) -> Option<Issued> {
        locked(&self.0).get(&sha256(token.as_bytes())).filter(|issued| issued.expires > now).cloned()
    }

    /// Takes a token out: a refresh token on rotation, any token on revocation.
    pub(super) fn take(&self, token: &str) -> Option<Issued> {
        locked(&self.0).remove(&sha256(token.as_bytes()))
    }

    pub(super) fn revoke_family(&self, family: &str) {
        locked(&self.0).retain(|_, issued| issued.family != family);
    }

    pub(super) fn revoke_subject(&self, subject: &str) {
        locked(&self.0).retain(|_, issued| issued.subject != subject);
    }
}

/// An authorization code (B.4.2.3).
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) user: String,
    pub(super) scope: Scopes,
    /// RFC 7636 `code_challenge` of method S256.
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) expires: i64,
    pub(super) family: String,
}

/// Codes that are out, and the families of those that were used: a second use revokes what the first one gave
/// (RFC 6749 §4.1.2).
#[derive(Default)]
pub(super) struct Codes {
    fresh: Mutex<HashMap<String, Code>>,
    used: Mutex<HashMap<String, (String, i64)>>,
}

impl Codes {
    pub(super) fn issue(&self, code: Code, now: i64) -> String {
        let value = random::secret();
        let mut fresh = locked(&self.fresh);
        fresh.retain(|_, code| code.expires > now);
        fresh.insert(value.clone(), code);
        value
    }

    /// The code, once. `Err` names the family to revoke when it was used before.
    pub(super) fn redeem(&self, value: &str, now: i64) -> Result<Code, Option<String>> {
        let mut used = locked(&self.used);
        used.retain(|_, (_, expires)| *expires > now);
        match locked(&self.fresh).remove(value) {
            Some(code) if code.expires > now => {
                used.insert(value.to_owned(), (code.family.clone(), code.expires));
                Ok(code)
            }
            Some(_) => Err(None),
            None => Err(used.get(value).map(|(family, _)| family.clone())),
        }
    }
}

/// `jti`s that were seen, each until its token expires.
#[derive(Default)]
pub(super) struct Replay(Mutex<HashMap<String, i64>>);

impl Replay {
    /// Whether `id` is new; from now on it is not.
    pub(super) fn spend(&self, id: String, until: i64, now: i64) -> bool {
        let mut seen = locked(&self.0);
        if seen.len() >= SWEEP_AT {
            seen.retain(|_, until| *until > now);
        }
        seen.insert(id, until).is_none_or(|known| known <= now)
    }
}
