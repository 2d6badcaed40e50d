//! Sealing of what leaves the process: whoever holds a Redis dump holds nothing, and cannot move one user's entry under
//! another's key. AES-256-GCM with the full tag and a random 96-bit nonce; josekit's JWE is not used, because it accepts
//! truncated tags.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::CacheKey;
use crate::random;
use crate::secret::sha256;

/// The first byte of every sealed value.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 8;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// No key, or one that the cipher does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no sealing key, or one that is not usable")]
pub struct SealingError;

/// The keys: the first seals, all open, so that a key is replaced without losing what the old one sealed.
pub struct SealingKeys(Vec<(KeyId, LessSafeKey)>);

type KeyId = [u8; KEY_ID_LEN];

impl SealingKeys {
    /// The sealing one first.
    pub fn new(keys: &[&[u8; 32]]) -> Result<Self, SealingError> {
        if keys.is_empty() {
            return Err(SealingError);
        }
        keys.iter().map(|bytes| key(bytes)).collect::<Result<_, _>>().map(Self)
    }

    /// Seals `plain` for `place`.
    pub(super) fn seal(&self, place: &CacheKey, plain: &[u8]) -> Option<Vec<u8>> {
        let (id, key) = self.0.first()?;
        let nonce = random::bytes::<NONCE_LEN>();
        let mut body = Zeroizing::new(plain.to_vec());
        let aad = Aad::from(place.associated_data());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut *body).ok()?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + body.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        Some(sealed)
    }

    /// Opens what was sealed for `place`; `None` when it was truncated, altered, moved, or sealed by a stranger.
    pub(super) fn open(&self, place: &CacheKey, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (header, body) = sealed.split_at_checked(HEADER_LEN)?;
        let (version, rest) = header.split_first()?;
        let (id, nonce) = rest.split_at_checked(KEY_ID_LEN)?;
        let (_, key) = self.0.iter().find(|(known, _)| *version == VERSION && known == id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = key.open_in_place(nonce, Aad::from(place.associated_data()), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

fn key(bytes: &[u8; 32]) -> Result<(KeyId, LessSafeKey), SealingError> {
    let mut id = KeyId::default();
    id.copy_from_slice(&sha256(bytes)[..KEY_ID_LEN]);
    let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| SealingError)?;
    Ok((id, LessSafeKey::new(key)))
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SealingKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: CacheKey = CacheKey { user: [1; 16], entry: [2; 32] };
    const ELSEWHERE: CacheKey = CacheKey { user: [1; 16], entry: [3; 32] };

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let keys = SealingKeys::new(&[&[1; 32]]).unwrap();
        let sealed = keys.seal(&PLACE, b"token").unwrap();
        assert_eq!(keys.open(&PLACE, &sealed).unwrap().as_slice(), b"token");
        assert!(keys.open(&ELSEWHERE, &sealed).is_none(), "moved");
        assert!(SealingKeys::new(&[&[2; 32]]).unwrap().open(&PLACE, &sealed).is_none(), "a stranger's key");
        for length in 0..sealed.len() {
            assert!(keys.open(&PLACE, &sealed[..length]).is_none(), "truncated to {length}");
        }
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(keys.open(&PLACE, &altered).is_none(), "altered at {position}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (&[1; 32], &[2; 32]);
        let sealed = SealingKeys::new(&[old]).unwrap().seal(&PLACE, b"x").unwrap();
        let rotated = SealingKeys::new(&[new, old]).unwrap();
        assert!(rotated.open(&PLACE, &sealed).is_some());
        let resealed = rotated.seal(&PLACE, b"x").unwrap();
        assert!(SealingKeys::new(&[new]).unwrap().open(&PLACE, &resealed).is_some());
    }
}
