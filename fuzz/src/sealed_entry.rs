//! What Redis gives back: sealed entries, and the notes of which tokens were issued.

use std::sync::{Arc, LazyLock};

use mcx_token_broker::cache::{CacheKey, CachedToken, FurtherTokens, Issue, Issued, SealingKeys};
use mcx_token_broker::clock::Timestamp;
use mcx_token_broker::secret::{Token, TokenRef};

use super::edits::edited;

const PLACE: CacheKey = CacheKey { user: [1; 16], entry: [2; 16] };
const ELSEWHERE: CacheKey = CacheKey { user: [1; 16], entry: [3; 16] };

/// Another key seals than was used before.
static KEYS: LazyLock<SealingKeys> =
    LazyLock::new(|| SealingKeys::new(&[&[1; 32], &[2; 32]]).expect("two keys"));

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let at = Timestamp::from_unix_seconds;
    let token = CachedToken {
        access_token: Token::from("an access token"),
        digest: [7; 8],
        issue: Arc::new(Issue {
            client: "radio".to_owned(),
            partner: "fire".to_owned(),
            epoch: [3; 8],
            scope: "a b".to_owned(),
        }),
        obtained_at: at(2000),
        expires_at: at(3000),
        further: Some(Box::new(FurtherTokens {
            chained_at: at(1000),
            kept_refresh_token: Some(Token::from("a refresh token")),
            refresh_token: None,
            id_token: None,
        })),
    };
    let earlier = SealingKeys::new(&[&[2; 32]]).expect("a key");
    token.seal(&earlier, &PLACE).expect("it can be sealed")
});

/// What the first byte of an input stands for; the rest is
/// - `e`: edits of a sealed entry;
/// - `p`: a plain form, which is sealed;
/// - anything else: a sealed entry as it stands.
pub fn check(input: &[u8]) -> bool {
    let Some((kind, rest)) = input.split_first() else { return false };
    match kind {
        b'e' => {
            let altered = edited(&SEALED, rest);
            let opened = opens(&PLACE, &altered);
            assert_eq!(
                opened,
                altered == *SEALED,
                "an entry that was changed opens, or one that was not does not"
            );
            assert!(!opens(&ELSEWHERE, &altered), "it was moved");
            opened
        }
        b'p' => plain(rest),
        _ => {
            assert!(!opens(&PLACE, rest), "nobody sealed it");
            assert!(Issued::open(&KEYS, TokenRef::from("t"), rest.to_vec()).is_none(), "nobody sealed it");
            false
        }
    }
}

fn opens(place: &CacheKey, sealed: &[u8]) -> bool {
    CachedToken::open(&KEYS, place, sealed.to_vec()).is_some()
}

/// Of another version, or sealed by one of us that was wrong.
fn plain(plain: &[u8]) -> bool {
    let sealed = KEYS.seal(&PLACE, plain).expect("it can be sealed");
    let place = Issued::place(TokenRef::from("t"));
    let note = KEYS.seal(&place, plain).expect("it can be sealed");
    let note = Issued::open(&KEYS, TokenRef::from("t"), note);
    if let Some(note) = &note {
        let again = note.seal(&KEYS, TokenRef::from("t")).expect("it can be sealed");
        assert_eq!(Issued::open(&KEYS, TokenRef::from("t"), again).as_ref(), Some(note));
        assert!(
            Issued::open(&KEYS, TokenRef::from("u"), KEYS.seal(&place, plain).unwrap_or_default()).is_none()
        );
    }
    let Some(token) = CachedToken::open(&KEYS, &PLACE, sealed) else { return note.is_some() };
    let again = token.seal(&KEYS, &PLACE).expect("it can be sealed");
    let again = CachedToken::open(&KEYS, &PLACE, again).expect("what was sealed opens");
    assert_eq!(told(&again), told(&token));
    true
}

/// All that an entry says.
fn told(token: &CachedToken) -> (Vec<String>, Issue, [u8; 8], [Timestamp; 3]) {
    let further = token.further.as_deref();
    let texts = [
        Some(&token.access_token),
        further.and_then(|further| further.kept_refresh_token.as_ref()),
        further.and_then(|further| further.refresh_token.as_ref()),
        further.and_then(|further| further.id_token.as_ref()),
    ];
    let texts = texts.map(|token| token.map_or("", |token| token.expose()).to_owned()).to_vec();
    let times = [token.chained_at(), token.obtained_at, token.expires_at];
    (texts, (*token.issue).clone(), token.digest, times)
}
