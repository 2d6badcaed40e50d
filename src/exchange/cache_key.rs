//! The cache key: a digest of everything that makes a token this user's and no other's. Parts are length-prefixed, so
//! that no two different lists of parts are the same bytes: a collision would hand one user's token to another.

use super::RequestedToken;
use crate::cache::CacheKey;
use crate::home::Subject;
use crate::jose::Claims;
use crate::partner::{Partner, ScopeMask};
use crate::secret::digest_of_parts;

/// Who asks for what, besides the user.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The client.
    pub client_id: &'a str,
    /// The partner: its id, and the epoch of its definition.
    pub partner: &'a Partner,
    /// Scopes of this partner, as this definition of it numbers them.
    pub scope: ScopeMask,
    /// What was asked for.
    pub requested: RequestedToken,
    /// [`crate::cache::TokenCache::generations`] of the two.
    pub generations: &'a [[u8; 16]; 3],
}

/// The key of what is wanted for `subject`. `minted_from`: its claims, if the partner is told some of them by the broker.
pub fn of(subject: &Subject<'_>, wanted: Wanted<'_>, minted_from: Option<&Claims>) -> CacheKey {
    let minted_from = minted_from.map(|claims| known_as(claims, wanted.partner)).unwrap_or_default();
    key(
        subject.user,
        [
            &subject.identity,
            wanted.client_id.as_bytes(),
            wanted.partner.id.as_bytes(),
            &wanted.partner.epoch,
            &wanted.scope.to_bytes(),
            wanted.requested.as_str().as_bytes(),
            wanted.generations.as_flattened(),
            &minted_from,
        ],
    )
}

/// The claims that the broker itself tells the partner, besides those that name users: whoever has others there is somebody else to it.
fn known_as(claims: &Claims, partner: &Partner) -> [u8; 16] {
    let names = partner.minted_from.iter();
    let values: Vec<(&String, String)> =
        names.filter_map(|name| Some((name, claims.get(name)?.to_string()))).collect();
    let parts: Vec<&[u8]> =
        values.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
    digest_of_parts(&parts)
}

fn key(user: [u8; 16], parts: [&[u8]; 8]) -> CacheKey {
    CacheKey { user, entry: digest_of_parts(&parts) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = ([u8; 16], [Vec<u8>; 8]);

    fn of_parts((user, parts): &Parts) -> CacheKey {
        key(*user, parts.each_ref().map(Vec::as_slice))
    }

    fn parts() -> impl Strategy<Value = Parts> {
        let part = || proptest::collection::vec(0u8..3, 0..3);
        let parts = [part(), part(), part(), part(), part(), part(), part(), part()];
        ((0u8..3).prop_map(|byte| [byte; 16]), parts)
    }

    /// Issuer, subject, client, partner, scope, type: the key as [`of`] makes it, of whatever bytes they hold.
    fn of_six([issuer, subject, client, partner, scope, kind]: &[Vec<u8>; 6]) -> CacheKey {
        let user = digest_of_parts(&[issuer, b"sub", subject]);
        let identity = digest_of_parts(&[&user, b"sub", subject]);
        key(user, [&identity, client, partner, &[0; 32], scope, kind, &[0; 48], &[0; 16]])
    }

    proptest! {
        #[test]
        fn no_two_requests_that_differ_share_a_key(
            one in proptest::array::uniform6(proptest::collection::vec(any::<u8>(), 0..6)),
            other in proptest::array::uniform6(proptest::collection::vec(any::<u8>(), 0..6)),
            moved in 0usize..5,
        ) {
            prop_assert_eq!(one == other, of_six(&one) == of_six(&other));
            // The worst case: the same bytes, cut elsewhere.
            let mut shifted = one.clone();
            if let Some(byte) = shifted[moved].pop() {
                shifted[moved + 1].insert(0, byte);
                prop_assert_ne!(of_six(&one), of_six(&shifted));
            }
        }

        #[test]
        fn different_parts_never_share_a_key(one in parts(), other in parts()) {
            prop_assert_eq!(one == other, of_parts(&one) == of_parts(&other));
            prop_assert_eq!(one.0 == other.0, of_parts(&one).user == of_parts(&other).user);
        }

        #[test]
        fn a_byte_moved_to_the_next_part_changes_the_key(text in "[a-z]{2,20}", at in 1usize..19, place in 0usize..7) {
            let (head, tail) = text.as_bytes().split_at(at.min(text.len() - 1));
            let with = |first: &[u8], second: &[u8]| {
                let mut parts: [Vec<u8>; 8] = Default::default();
                parts[place] = first.to_vec();
                parts[place + 1] = second.to_vec();
                of_parts(&([0; 16], parts))
            };
            prop_assert_ne!(with(text.as_bytes(), b""), with(head, tail));
        }
    }
}
