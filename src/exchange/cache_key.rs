//! The cache key: a digest of everything that makes a token this user's and no other's. Parts are length-prefixed, so
//! that no two different lists of parts are the same bytes: a collision would hand one user's token to another.

use super::RequestedToken;
use crate::cache::CacheKey;
use crate::home::Subject;
use crate::oauth::scope::ScopeSet;
use crate::partner::Partner;
use crate::secret::sha256;

/// The key of what `client_id` may get at `partner` for `subject`.
pub fn of(
    subject: &Subject,
    client_id: &str,
    partner: &Partner,
    scope: &ScopeSet,
    requested: RequestedToken,
) -> CacheKey {
    let user = [&subject.issuer, &subject.claim, &subject.id].map(String::as_bytes);
    let scope = scope.to_string();
    let known_as = known_as(subject, partner);
    let rest = [
        client_id.as_bytes(),
        partner.id.as_bytes(),
        &partner.epoch,
        scope.as_bytes(),
        requested.as_str().as_bytes(),
        &known_as,
    ];
    key(user, rest)
}

/// The claims by which the partner may come to know the user. One account (`sub`) can be signed in under several MCX ids
/// (TS 33.180 B.2), and a partner that is told the MCX id gives each its own token: under one key, whoever signs in as
/// one of them would be handed the token of another.
fn known_as(subject: &Subject, partner: &Partner) -> Vec<u8> {
    let names = subject.identity_claims.iter().chain(partner.security_token.subject_claims());
    let mut bytes = Vec::with_capacity(256);
    for name in names {
        if let Some(value) = subject.claims.get(name) {
            append(&mut bytes, &[name.as_bytes(), value.to_string().as_bytes()]);
        }
    }
    bytes
}

fn key(user: [&[u8]; 3], rest: [&[u8]; 6]) -> CacheKey {
    let mut bytes = Vec::with_capacity(512);
    append(&mut bytes, &user);
    let whole_user = sha256(&bytes);
    append(&mut bytes, &rest);
    let mut user = [0; 16];
    user.copy_from_slice(&whole_user[..16]);
    CacheKey { user, entry: sha256(&bytes) }
}

fn append(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = ([Vec<u8>; 3], [Vec<u8>; 6]);

    fn of_parts((user, rest): &Parts) -> CacheKey {
        key(user.each_ref().map(Vec::as_slice), rest.each_ref().map(Vec::as_slice))
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let part = || proptest::collection::vec(0u8..3, 0..3);
        ([part(), part(), part()], [part(), part(), part(), part(), part(), part()])
    }

    proptest! {
        #[test]
        fn different_parts_never_share_a_key(one in parts(), other in parts()) {
            prop_assert_eq!(one == other, of_parts(&one) == of_parts(&other));
            prop_assert_eq!(one.0 == other.0, of_parts(&one).user == of_parts(&other).user);
        }

        #[test]
        fn a_byte_moved_to_the_next_part_changes_the_key(text in "[a-z]{2,20}", at in 1usize..19) {
            let at = at.min(text.len() - 1);
            let rest = || [vec![], vec![], vec![], vec![], vec![], vec![]];
            let whole = ([text.clone().into_bytes(), vec![], vec![]], rest());
            let (head, tail) = text.as_bytes().split_at(at);
            let split = ([head.to_vec(), tail.to_vec(), vec![]], rest());
            prop_assert_ne!(of_parts(&whole), of_parts(&split));
        }
    }
}
