//! What is kept, and under which key.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::secret::Token;

/// Names one entry by digests: neither a user nor a token can be read from a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Digest of the user alone: all entries of one user share it, so that they can be found together.
    pub user: [u8; 16],
    /// Digest of everything that makes the entry this user's and no other's.
    pub entry: [u8; 32],
}

impl CacheKey {
    /// The Redis key; the braces put all entries of one user into one Cluster slot.
    pub fn redis_key(&self) -> String {
        format!("mcx:token:{{{}}}:{}", hex(&self.user), hex(&self.entry))
    }

    /// What a sealed value is bound to: it opens under this key only.
    pub(super) fn associated_data(&self) -> [u8; 48] {
        let mut data = [0; 48];
        data[..16].copy_from_slice(&self.user);
        data[16..].copy_from_slice(&self.entry);
        data
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CacheKey({})", hex(&self.entry[..4]))
    }
}

/// A partner token as it is kept.
#[derive(Debug, Clone)]
pub struct CachedToken {
    /// The partner's access token.
    pub access_token: Token,
    /// Its granted scopes.
    pub scope: String,
    /// When it was obtained.
    pub obtained_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Only where the partner file forwards it.
    pub refresh_token: Option<Token>,
    /// Only where the partner file forwards it.
    pub id_token: Option<Token>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    obtained_at: i64,
    expires_at: i64,
    refresh_token: Option<Cow<'a, str>>,
    id_token: Option<Cow<'a, str>>,
}

impl CachedToken {
    /// Roughly how many bytes it occupies.
    pub(super) fn weight(&self) -> u64 {
        let texts = [Some(&self.access_token), self.refresh_token.as_ref(), self.id_token.as_ref()];
        let bytes: usize = texts.into_iter().flatten().map(|token| token.expose().len()).sum();
        (bytes + self.scope.len() + 256) as u64
    }

    /// The plain form that is sealed. Times are whole seconds: never later than the truth.
    pub(super) fn to_bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        let record = Record {
            access_token: self.access_token.expose().into(),
            scope: self.scope.as_str().into(),
            obtained_at: self.obtained_at.unix_seconds(),
            expires_at: self.expires_at.unix_seconds(),
            refresh_token: self.refresh_token.as_ref().map(|token| token.expose().into()),
            id_token: self.id_token.as_ref().map(|token| token.expose().into()),
        };
        serde_json::to_vec(&record).ok().map(Zeroizing::new)
    }

    /// Reads the plain form; `None` when it is not one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let record: Record<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            access_token: Token::from(record.access_token.as_ref()),
            scope: record.scope.into_owned(),
            obtained_at: Timestamp::from_unix_seconds(record.obtained_at),
            expires_at: Timestamp::from_unix_seconds(record.expires_at),
            refresh_token: record.refresh_token.map(|token| Token::from(token.as_ref())),
            id_token: record.id_token.map(|token| Token::from(token.as_ref())),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_partner_calls_a_token_comes_back_unchanged(access in "[!-~]{1,80}", id in ".{1,20}") {
            let token = CachedToken {
                access_token: Token::from(access.as_str()),
                scope: "a b".to_owned(),
                obtained_at: Timestamp::from_unix_seconds(1),
                expires_at: Timestamp::from_unix_seconds(2),
                refresh_token: None,
                id_token: Some(Token::from(id.as_str())),
            };
            let read = CachedToken::from_bytes(&token.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(read.access_token.expose(), access);
            prop_assert_eq!(read.id_token.as_ref().map(Token::expose), Some(id.as_str()));
            prop_assert_eq!(read.expires_at, token.expires_at);
        }

        #[test]
        fn no_stored_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CachedToken::from_bytes(&bytes);
        }
    }
}
