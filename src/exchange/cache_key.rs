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
    /// Whoever acts for the user by a token of its own.
    pub actor: Option<&'a [u8; 16]>,
    /// What was asked for.
    pub requested: RequestedToken,
    /// [`crate::cache::TokenCache::generations`] of the two.
    pub generations: &'a [[u8; 16]; 3],
}

/// The key of what is wanted for `subject`. `minted_from`: its claims, if the partner is told some of them by the broker.
pub fn of(subject: &Subject<'_>, wanted: Wanted<'_>, minted_from: Option<&Claims>) -> CacheKey {
    let minted_from = minted_from.map(|claims| known_as(claims, wanted.partner));
    let Wanted { client_id, partner, scope, actor, requested, generations } = wanted;
    let parts = Parts {
        identity: &subject.identity,
        client: client_id.as_bytes(),
        partner: partner.id.as_bytes(),
        epoch: &partner.epoch,
        scope: &scope.to_bytes(),
        actor: actor.map_or(&[], <[u8; 16]>::as_slice),
        kind: &[requested as u8],
        generations: generations.as_flattened(),
        minted_from: minted_from.as_ref().map_or(&[], <[u8; 16]>::as_slice),
    };
    parts.key(subject.user)
}

/// Everything that makes an entry another one, besides the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'p> {
    identity: &'p [u8],
    client: &'p [u8],
    partner: &'p [u8],
    epoch: &'p [u8],
    scope: &'p [u8],
    actor: &'p [u8],
    kind: &'p [u8],
    generations: &'p [u8],
    minted_from: &'p [u8],
}

impl Parts<'_> {
    fn key(self, user: [u8; 16]) -> CacheKey {
        let Self { identity, client, partner, epoch, scope, actor, kind, generations, minted_from } = self;
        let entry = [identity, client, partner, epoch, scope, actor, kind, generations, minted_from];
        CacheKey { user, entry: digest_of_parts(&entry) }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Issuer, subject, client, partner, scope, type, of whatever bytes they hold.
    fn of_six([issuer, subject, client, partner, scope, kind]: &[Vec<u8>; 6]) -> CacheKey {
        let user = digest_of_parts(&[issuer, b"sub", subject]);
        let identity = digest_of_parts(&[&user, b"sub", subject]);
        let parts = Parts {
            identity: &identity,
            client,
            partner,
            epoch: &[0; 32],
            scope,
            actor: &[],
            kind,
            generations: &[0; 48],
            minted_from: &[0; 16],
        };
        parts.key(user)
    }

    fn bytes() -> impl Strategy<Value = [Vec<u8>; 6]> {
        proptest::array::uniform6(proptest::collection::vec(0u8..3, 0..4))
    }

    proptest! {
        #[test]
        fn no_two_requests_that_differ_share_a_key(one in bytes(), other in bytes(), moved in 0usize..5) {
            prop_assert_eq!(one == other, of_six(&one) == of_six(&other));
            let whose = |six: &[Vec<u8>; 6]| (six[0].clone(), six[1].clone());
            prop_assert_eq!(whose(&one) == whose(&other), of_six(&one).user == of_six(&other).user);
            // The worst case: the same bytes, cut elsewhere.
            let mut shifted = one.clone();
            if let Some(byte) = shifted[moved].pop() {
                shifted[moved + 1].insert(0, byte);
                prop_assert_ne!(of_six(&one), of_six(&shifted));
            }
        }

        #[test]
        fn every_part_counts(part in 0usize..9, bytes in proptest::collection::vec(any::<u8>(), 1..6)) {
            let empty: [&[u8]; 9] = [&[]; 9];
            let mut one = empty;
            one[part] = &bytes;
            let key = |[identity, client, partner, epoch, scope, actor, kind, generations, minted_from]: [&[u8]; 9]| {
                Parts { identity, client, partner, epoch, scope, actor, kind, generations, minted_from }.key([0; 16])
            };
            prop_assert_ne!(key(one), key(empty));
        }
    }
}
