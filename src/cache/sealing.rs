//! Sealing of what leaves the process: whoever holds a Redis dump holds nothing, and cannot move one user's entry under
//! another's key. AES-256-GCM with the full tag and a random 96-bit nonce; josekit's JWE is not used, because it accepts
//! truncated tags.

use std::fmt;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::CacheKey;
use crate::random;
use crate::secret::sha256;

/// The first byte of every sealed value.
const VERSION: u8 = 2;
const KEY_ID_LEN: usize = 8;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// No key, or one that the cipher does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no sealing key, or one that is not usable")]
pub struct SealingError;

/// The keys: the first seals, all open, so that a key is replaced without losing what the old one sealed.
pub struct SealingKeys(ArcSwap<Vec<(KeyId, LessSafeKey)>>);

type KeyId = [u8; KEY_ID_LEN];

impl SealingKeys {
    /// The sealing one first.
    pub fn new(keys: &[&[u8; 32]]) -> Result<Self, SealingError> {
        if keys.is_empty() {
            return Err(SealingError);
        }
        keys.iter()
            .map(|bytes| key(bytes))
            .collect::<Result<_, _>>()
            .map(|keys| Self(ArcSwap::from_pointee(keys)))
    }

    /// From now on the keys of `other` count, and these no more.
    pub fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// A key of this process's own: what it seals nobody else can open, and it neither after a restart.
    pub fn of_this_process() -> Result<Self, SealingError> {
        Self::new(&[&*Zeroizing::new(random::bytes())])
    }

    /// Seals `plain` for `place`.
    pub fn seal(&self, place: &CacheKey, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let (id, key) = keys.first()?;
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

    /// Opens what was sealed for `place`, where it stands; `None` when it was truncated, altered, moved, or sealed by a
    /// stranger.
    pub fn open<'s>(&self, place: &CacheKey, sealed: &'s mut [u8]) -> Option<&'s [u8]> {
        let (header, body) = sealed.split_at_mut_checked(HEADER_LEN)?;
        let (version, rest) = header.split_first()?;
        let (id, nonce) = rest.split_at_checked(KEY_ID_LEN)?;
        let keys = self.0.load();
        let (_, key) = keys.iter().find(|(known, _)| *version == VERSION && known == id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        key.open_in_place(nonce, Aad::from(place.associated_data()), body).ok().map(|plain| &*plain)
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
        write!(formatter, "SealingKeys({})", self.0.load().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: CacheKey = CacheKey { user: [1; 16], entry: [2; 16] };
    const ELSEWHERE: CacheKey = CacheKey { user: [1; 16], entry: [3; 16] };

    fn opens(keys: &SealingKeys, place: &CacheKey, sealed: &[u8]) -> bool {
        keys.open(place, &mut sealed.to_vec()).is_some()
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let keys = SealingKeys::new(&[&[1; 32]]).unwrap();
        let sealed = keys.seal(&PLACE, b"token").unwrap();
        assert_eq!(keys.open(&PLACE, &mut sealed.clone()).unwrap(), b"token");
        assert!(!opens(&keys, &ELSEWHERE, &sealed), "moved");
        assert!(!opens(&SealingKeys::new(&[&[2; 32]]).unwrap(), &PLACE, &sealed), "a stranger's key");
        assert!(!opens(&SealingKeys::of_this_process().unwrap(), &PLACE, &sealed), "another process");
        for length in 0..sealed.len() {
            assert!(!opens(&keys, &PLACE, &sealed[..length]), "truncated to {length}");
        }
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(!opens(&keys, &PLACE, &altered), "altered at {position}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (&[1; 32], &[2; 32]);
        let sealed = SealingKeys::new(&[old]).unwrap().seal(&PLACE, b"x").unwrap();
        let rotated = SealingKeys::new(&[new, old]).unwrap();
        assert!(opens(&rotated, &PLACE, &sealed));
        let resealed = rotated.seal(&PLACE, b"x").unwrap();
        assert!(opens(&SealingKeys::new(&[new]).unwrap(), &PLACE, &resealed));
        assert_ne!(sealed, SealingKeys::new(&[old]).unwrap().seal(&PLACE, b"x").unwrap(), "each has a nonce");
    }
}
