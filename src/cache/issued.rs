//! Where a token that was handed out is kept, so that the client that gives it up (RFC 7009) need not say whose it is, and so
//! that it is never shown to a server that did not issue it. In Redis a sealed note for each token, named by its digest, that
//! lives as long as the token does: longer than its entry, which a renewal replaces.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::entry::{CachedToken, put_text, take, text};
use super::{CacheKey, SealingKeys};
use crate::secret::TokenRef;

/// Stands for the entry in the place that a note is sealed for: no entry can be passed off as one.
const NOTE: [u8; 16] = *b"issued elsewhere";

/// A token that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Where it is, or was, kept.
    pub key: CacheKey,
    /// As in [`super::Issue`].
    pub client: String,
    /// As in [`super::Issue`].
    pub partner: String,
    /// As in [`super::Issue`].
    pub epoch: [u8; 8],
}

impl Issued {
    pub(super) fn of(key: &CacheKey, token: &CachedToken) -> Self {
        let issue = &token.issue;
        Self { key: *key, client: issue.client.clone(), partner: issue.partner.clone(), epoch: issue.epoch }
    }

    /// Where the note of a token is, and what it is sealed for.
    pub fn place(token: TokenRef<'_>) -> CacheKey {
        CacheKey { user: token.digest().half(), entry: NOTE }
    }

    /// The name of the note in Redis.
    pub(super) fn name(token: TokenRef<'_>) -> Vec<u8> {
        [b"mcx:issued:", URL_SAFE_NO_PAD.encode(Self::place(token).user).as_bytes()].concat()
    }

    /// Seals the note of `token`.
    pub fn seal(&self, keys: &SealingKeys, token: TokenRef<'_>) -> Option<Vec<u8>> {
        keys.seal(&Self::place(token), &self.to_bytes())
    }

    /// Opens the note of `token`; `None`: it was altered, or is another token's.
    pub fn open(keys: &SealingKeys, token: TokenRef<'_>, mut sealed: Vec<u8>) -> Option<Self> {
        keys.open(&Self::place(token), &mut sealed).and_then(Self::from_bytes)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let Self { key, client, partner, epoch } = self;
        let mut bytes = [key.user.as_slice(), &key.entry, epoch].concat();
        put_text(&mut bytes, client);
        put_text(&mut bytes, partner);
        bytes
    }

    /// `None`: another version.
    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let key = CacheKey { user: *take(rest)?, entry: *take(rest)? };
        let epoch = *take(rest)?;
        let (client, partner) = (text(rest)?.to_owned(), text(rest)?.to_owned());
        rest.is_empty().then_some(Self { key, client, partner, epoch })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_noted_is_read(
            user in any::<[u8; 16]>(), entry in any::<[u8; 16]>(), epoch in any::<[u8; 8]>(),
            client in ".{0,20}", partner in ".{0,20}",
        ) {
            let issued = Issued { key: CacheKey { user, entry }, client, partner, epoch };
            prop_assert_eq!(Issued::from_bytes(&issued.to_bytes()), Some(issued));
        }

        #[test]
        fn no_stored_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Issued::from_bytes(&bytes);
        }
    }
}
