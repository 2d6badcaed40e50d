//! What is kept, and under which key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::sealing::SealingKeys;
use crate::clock::Timestamp;
use crate::secret::{Token, WipedBytes};

/// Names one entry by digests: neither a user nor a token can be read from a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Digest of the user alone: all entries of one user are kept together, so that they go together.
    pub user: [u8; 16],
    /// Digest of everything that makes the entry this user's and no other's.
    pub entry: [u8; 16],
}

impl CacheKey {
    /// What a sealed value is bound to: it opens under this key only.
    pub(super) fn associated_data(&self) -> [u8; 32] {
        let mut data = [0; 32];
        data[..16].copy_from_slice(&self.user);
        data[16..].copy_from_slice(&self.entry);
        data
    }

    /// A share of one, the same on every replica and for nobody else: what spreads over time what happened at once.
    pub fn share(&self) -> f64 {
        f64::from(u16::from_be_bytes([self.entry[0], self.entry[1]])) / f64::from(u16::MAX)
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "CacheKey({})", URL_SAFE_NO_PAD.encode(&self.entry[..6]))
    }
}

/// A partner token as it is kept.
#[derive(Debug, Clone)]
pub struct CachedToken {
    /// The partner's access token.
    pub access_token: Token,
    /// [`crate::secret::TokenDigest::prefix`] of it, for the audit log.
    pub digest: [u8; 8],
    /// For whom it was issued, by whom, and for what.
    pub issue: Arc<Issue>,
    /// When it was asked for.
    pub obtained_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Boxed, because few have any.
    pub further: Option<Box<FurtherTokens>>,
}

/// What many tokens have in common, so that it is kept once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Issue {
    /// The client that it was obtained for: nobody else may revoke it (RFC 7009 §2.1).
    pub client: String,
    /// The partner that issued it.
    pub partner: String,
    /// Start of the epoch of the partner's definition then: another server of that name gets to see none of its tokens.
    pub epoch: [u8; 8],
    /// The granted scopes.
    pub scope: String,
}

/// What else a partner answered.
#[derive(Debug, Clone)]
pub struct FurtherTokens {
    /// When the home IdM vouched for the user last: both legs. A refresh (B.5) leaves it as it is.
    pub chained_at: Timestamp,
    /// The refresh token that stays in the broker (B.5): never handed out.
    pub kept_refresh_token: Option<Token>,
    /// Only where the partner file forwards it; the broker does not use it then.
    pub refresh_token: Option<Token>,
    /// Only where the partner file forwards it.
    pub id_token: Option<Token>,
}

/// How long tokens are served and kept.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// A token with less than this left is a miss: its bearer would be refused at the partner's service.
    pub margin: Duration,
    /// No token is served longer than this after it was obtained, whatever its `expires_in`; none is refreshed (B.5)
    /// longer than this after the home IdM vouched for the user.
    pub max_lifetime: Duration,
}

impl Lifetimes {
    /// Until when the token can be served.
    pub fn end(&self, token: &CachedToken) -> Timestamp {
        token.expires_at.minus(self.margin).min(token.obtained_at.plus(self.max_lifetime))
    }

    /// How long the token can still be served; zero: it cannot.
    pub fn served(&self, token: &CachedToken, now: Timestamp) -> Duration {
        now.until(self.end(token))
    }

    /// How long it is worth keeping: as long as it is served, or as it can be refreshed.
    pub fn kept(&self, token: &CachedToken, now: Timestamp) -> Duration {
        let served = self.served(token, now);
        if token.kept_refresh_token().is_some() { served.max(self.refreshed(token, now)) } else { served }
    }

    /// How long it may still be refreshed.
    pub fn refreshed(&self, token: &CachedToken, now: Timestamp) -> Duration {
        now.until(token.chained_at().plus(self.max_lifetime))
    }
}

impl CachedToken {
    /// The refresh token that stays in the broker.
    pub fn kept_refresh_token(&self) -> Option<&Token> {
        self.further.as_ref().and_then(|further| further.kept_refresh_token.as_ref())
    }

    /// When the home IdM vouched for the user last.
    pub fn chained_at(&self) -> Timestamp {
        self.further.as_ref().map_or(self.obtained_at, |further| further.chained_at)
    }

    /// Seals it for `place`.
    pub fn seal(&self, keys: &SealingKeys, place: &CacheKey) -> Option<Vec<u8>> {
        keys.seal(place, &self.to_bytes())
    }

    /// Opens what was sealed for `place`; `None`: it was altered or moved, or it is not a token.
    pub fn open(keys: &SealingKeys, place: &CacheKey, sealed: Vec<u8>) -> Option<Self> {
        let mut sealed = WipedBytes::from(sealed);
        keys.open(place, sealed.as_mut()).and_then(Self::from_bytes)
    }

    /// Bytes of its texts.
    pub(super) fn text_bytes(&self) -> usize {
        self.texts().iter().map(|text| text.len()).sum()
    }

    fn texts(&self) -> [&str; 7] {
        let further = |pick: fn(&FurtherTokens) -> &Option<Token>| {
            self.further.as_ref().and_then(|further| pick(further).as_ref()).map_or("", Token::expose)
        };
        let issue = &self.issue;
        [
            self.access_token.expose(),
            &issue.client,
            &issue.partner,
            &issue.scope,
            further(|tokens| &tokens.kept_refresh_token),
            further(|tokens| &tokens.refresh_token),
            further(|tokens| &tokens.id_token),
        ]
    }

    /// The plain form that is sealed: three times in milliseconds, then digest and epoch, then each text after its length.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(40 + 7 * 4 + self.text_bytes()));
        for time in [self.chained_at(), self.obtained_at, self.expires_at] {
            bytes.extend_from_slice(&time.unix_millis().to_be_bytes());
        }
        bytes.extend_from_slice(&self.digest);
        bytes.extend_from_slice(&self.issue.epoch);
        for text in self.texts() {
            put_text(&mut bytes, text);
        }
        bytes
    }

    /// Reads the plain form; `None` when it is not one.
    fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [chained_at, obtained_at, expires_at] = [time(rest)?, time(rest)?, time(rest)?];
        let (digest, epoch) = (*take(rest)?, *take(rest)?);
        let mut next = || text(rest);
        let [access, client, partner, scope] = [next()?, next()?, next()?, next()?];
        let [kept, refresh, id] = [next()?, next()?, next()?];
        let token = |text: &str| (!text.is_empty()).then(|| Token::from(text));
        let further = FurtherTokens {
            chained_at,
            kept_refresh_token: token(kept),
            refresh_token: token(refresh),
            id_token: token(id),
        };
        let any = [kept, refresh, id].iter().any(|text| !text.is_empty());
        rest.is_empty().then(|| Self {
            access_token: Token::from(access),
            digest,
            issue: Arc::new(Issue {
                client: client.to_owned(),
                partner: partner.to_owned(),
                epoch,
                scope: scope.to_owned(),
            }),
            obtained_at,
            expires_at,
            further: any.then(|| Box::new(further)),
        })
    }
}

/// A text after its length.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // Answers of identity servers are far smaller than 4 GiB.
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

pub(super) fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

fn time(rest: &mut &[u8]) -> Option<Timestamp> {
    take(rest).map(|bytes| Timestamp::from_unix_millis(i64::from_be_bytes(*bytes)))
}

pub(super) fn text<'b>(rest: &mut &'b [u8]) -> Option<&'b str> {
    let length = usize::try_from(u32::from_be_bytes(*take(rest)?)).ok()?;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn issue(scope: &str) -> Arc<Issue> {
        let (client, partner) = ("client".to_owned(), "partner".to_owned());
        Arc::new(Issue { client, partner, epoch: [3; 8], scope: scope.to_owned() })
    }

    fn token(access: &str, kept: Option<&str>) -> CachedToken {
        let at = Timestamp::from_unix_seconds;
        let further = FurtherTokens {
            chained_at: at(1000),
            kept_refresh_token: kept.map(Token::from),
            refresh_token: None,
            id_token: None,
        };
        CachedToken {
            access_token: Token::from(access),
            digest: [7; 8],
            issue: issue("a b"),
            obtained_at: at(2000),
            expires_at: at(3000),
            further: kept.map(|_| Box::new(further)),
        }
    }

    #[test]
    fn how_long_a_token_is_served_and_kept() {
        let seconds = Duration::from_secs;
        let day = Lifetimes { margin: seconds(10), max_lifetime: seconds(86_400) };
        let short = Lifetimes { margin: seconds(10), max_lifetime: seconds(500) };
        for (lifetimes, kept, now, served_for, kept_for) in [
            (day, None, 2000, 990, 990),
            (day, None, 2989, 1, 1),
            (day, None, 2990, 0, 0),
            (day, None, 9000, 0, 0),
            (short, None, 2000, 500, 500),
            (short, None, 2500, 0, 0),
            (day, Some("r"), 2000, 990, 85_400),
            (day, Some("r"), 2990, 0, 84_410),
            (short, Some("r"), 2000, 500, 500),
            (short, Some("r"), 1000, 1500, 1500),
        ] {
            let (token, now) = (token("t", kept), Timestamp::from_unix_seconds(now));
            assert_eq!(lifetimes.served(&token, now), seconds(served_for), "{now:?} {kept:?}");
            assert_eq!(lifetimes.kept(&token, now), seconds(kept_for), "{now:?} {kept:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_partner_calls_a_token_comes_back_unchanged(
            access in "[!-~]{1,80}",
            id in ".{0,20}",
            refresh in ".{0,20}",
            millis in any::<i64>(),
        ) {
            let some = |text: &str| (!text.is_empty()).then(|| Token::from(text));
            let mut token = token(&access, None);
            token.expires_at = Timestamp::from_unix_millis(millis);
            token.further = Some(Box::new(FurtherTokens {
                chained_at: Timestamp::from_unix_seconds(7),
                kept_refresh_token: some(&refresh),
                refresh_token: None,
                id_token: some(&id),
            }));
            let read = CachedToken::from_bytes(&token.to_bytes()).unwrap();
            prop_assert_eq!(read.texts(), token.texts());
            prop_assert_eq!((read.digest, &read.issue), (token.digest, &token.issue));
            let any = !(id.is_empty() && refresh.is_empty());
            prop_assert_eq!(read.chained_at(), if any { token.chained_at() } else { token.obtained_at });
            prop_assert_eq!(
                [read.obtained_at, read.expires_at],
                [token.obtained_at, token.expires_at]
            );
        }

        #[test]
        fn no_stored_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = CachedToken::from_bytes(&bytes);
        }
    }
}
