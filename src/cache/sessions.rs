//! Whose tokens a session of the home IdM obtained, so that a logout that names nothing but the session (OpenID Connect
//! Back-Channel Logout 1.0 §2.4) takes them away whichever replica it comes to. In Redis a sealed note for each session.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CacheKey, SealingKeys};

/// Stands for the entry in the place that a note is sealed for: no entry can be passed off as one.
const NOTE: [u8; 16] = *b"a session's user";

/// Where the note of a session is, and what it is sealed for.
fn place(session: [u8; 8]) -> CacheKey {
    let mut user = [0; 16];
    user[..8].copy_from_slice(&session);
    CacheKey { user, entry: NOTE }
}

/// The name of the note in Redis.
pub(super) fn name(session: [u8; 8]) -> Vec<u8> {
    [b"mcx:session:", URL_SAFE_NO_PAD.encode(session).as_bytes()].concat()
}

/// Seals the note that a session is this user's.
pub(super) fn seal(keys: &SealingKeys, session: [u8; 8], user: &[u8; 16]) -> Option<Vec<u8>> {
    keys.seal(&place(session), user)
}

/// The user whose session it is; `None`: the note was altered, or is another session's.
pub(super) fn open(keys: &SealingKeys, session: [u8; 8], mut sealed: Vec<u8>) -> Option<[u8; 16]> {
    <[u8; 16]>::try_from(keys.open(&place(session), &mut sealed)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_tells_of_its_own_session_only() {
        let keys = SealingKeys::of_this_process().unwrap();
        let sealed = seal(&keys, [1; 8], &[7; 16]).unwrap();
        assert_eq!(open(&keys, [1; 8], sealed.clone()), Some([7; 16]));
        assert_eq!(open(&keys, [2; 8], sealed), None);
        assert_ne!(name([1; 8]), name([2; 8]));
    }
}
