//! The logout token: the home IdM says that a user, or one session, has ended (OpenID Connect Back-Channel Logout 1.0 §2.4).
//! Whoever could forge one could sign every officer out; whoever could suppress a check, keep one signed in.

use std::time::Duration;

use super::acceptance::session_digest;
use super::keys::{HomeKeys, KeyError};
use crate::clock::{Clock, Timestamp};
use crate::idm::IdmError;
use crate::jose::{Algorithm, ClaimError, JoseError, ReplayMemory, UnverifiedToken};
use crate::secret::TokenRef;

/// The member of `events` that makes a JWT a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// One that was issued longer ago was held back by somebody.
const MAX_AGE: Duration = Duration::from_secs(600);
/// One that lives longer would have to be remembered longer.
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
/// `sub` and `sid` are names, not documents.
const MAX_NAME_BYTES: usize = 255;

/// Which logout tokens are accepted.
#[derive(Debug, Clone)]
pub struct LogoutTokenSettings {
    /// `iss`.
    pub issuer: String,
    /// `aud`: our client id at the home IdM; empty: we are not registered there, and nothing is accepted.
    pub client_id: String,
    /// Pinned algorithms.
    pub algorithms: Vec<Algorithm>,
    /// Clock skew.
    pub leeway: Duration,
}

/// What has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// `sub`: all of this user's sessions.
    pub subject: Option<String>,
    /// `sid`: start of its digest, as in [`super::Subject::session`].
    pub session: Option<[u8; 8]>,
    /// When: `iat`.
    pub at: Timestamp,
    /// `jti` of the token that said so.
    pub id: String,
}

/// Why a logout token is not accepted (§2.6). The texts name claims, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// Not a JWT, another algorithm, or a wrong signature.
    #[error("{0}")]
    Token(#[from] JoseError),
    /// A claim of the wrong form.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// Another kind of token: an ID token or an access token could be passed off as one.
    #[error("it is not a logout token (typ, events, nonce)")]
    Kind,
    /// Not the home IdM's.
    #[error("its issuer is not the home IdM")]
    Issuer,
    /// Meant for somebody else.
    #[error("its aud is not this broker's client id at the home IdM")]
    Audience,
    /// `iat` or `exp` is missing, or not now.
    #[error("its iat or exp is missing, or it is not of now")]
    Time,
    /// It was used before, or has no `jti`.
    #[error("its jti is missing or was used before")]
    Replayed,
    /// Neither `sub` nor `sid`.
    #[error("it names neither sub nor sid")]
    Nobody,
    /// The keys that could decide are not to be had.
    #[error("the home IdM is needed to verify it: {0}")]
    Home(IdmError),
}

/// Validates logout tokens, each once.
#[derive(Debug)]
pub struct LogoutTokens {
    settings: LogoutTokenSettings,
    used: ReplayMemory,
    clock: Clock,
}

impl LogoutTokens {
    /// Nothing was used yet.
    pub fn new(settings: LogoutTokenSettings, clock: Clock) -> Self {
        Self { settings, used: ReplayMemory::default(), clock }
    }

    /// Validates one (§2.6).
    ///
    /// # Errors
    /// [`LogoutTokenError`].
    pub async fn validate(&self, keys: &HomeKeys, token: TokenRef<'_>) -> Result<Logout, LogoutTokenError> {
        let unverified = UnverifiedToken::parse(token.expose())?;
        keys.verify(&unverified, &self.settings.algorithms).await.map_err(|error| match error {
            KeyError::Token(error) => LogoutTokenError::Token(error),
            KeyError::Unavailable(error) => LogoutTokenError::Home(error),
        })?;
        self.judge(&unverified)
    }

    /// A logout that did not reach all is not used up: the home IdM repeats it, with the same token.
    pub fn forget(&self, logout: &Logout) {
        self.used.forget(&self.settings.issuer, &logout.id);
    }

    /// The claims of a token whose signature is right.
    fn judge(&self, verified: &UnverifiedToken) -> Result<Logout, LogoutTokenError> {
        let (settings, now) = (&self.settings, self.clock.now());
        let claims = verified.unverified_claims();
        let typ = verified.header().typ.as_deref().unwrap_or("logout+jwt").to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        let event = claims.get("events").and_then(|events| events.get(EVENT));
        let is_one = matches!(typ, "logout+jwt" | "jwt") && event.is_some_and(serde_json::Value::is_object);
        if !is_one || claims.get("nonce").is_some() {
            return Err(LogoutTokenError::Kind);
        }
        if claims.text("iss")? != Some(&settings.issuer) {
            return Err(LogoutTokenError::Issuer);
        }
        if settings.client_id.is_empty() || !claims.audience()?.contains(&settings.client_id.as_str()) {
            return Err(LogoutTokenError::Audience);
        }
        let at = claims.numeric_date("iat")?.ok_or(LogoutTokenError::Time)?;
        let exp = claims.numeric_date("exp")?.ok_or(LogoutTokenError::Time)?;
        let of_now = at <= now.plus(settings.leeway) && now <= at.plus(MAX_AGE);
        if !of_now || now >= exp.plus(settings.leeway) || exp > now.plus(MAX_LIFETIME) {
            return Err(LogoutTokenError::Time);
        }
        let name = |claim: &str| {
            Ok::<_, ClaimError>(claims.text(claim)?.filter(|text| text.len() <= MAX_NAME_BYTES))
        };
        let (subject, session) = (name("sub")?, name("sid")?);
        if subject.is_none() && session.is_none() {
            return Err(LogoutTokenError::Nobody);
        }
        // Last: one that is refused for something else does not use it up.
        let jti = name("jti")?.ok_or(LogoutTokenError::Replayed)?;
        if !self.used.use_once(&settings.issuer, jti, exp.plus(settings.leeway), now) {
            return Err(LogoutTokenError::Replayed);
        }
        Ok(Logout {
            subject: subject.map(str::to_owned),
            session: session.map(|sid| session_digest(&settings.issuer, sid)),
            at,
            id: jti.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::jose::{KeySet, SigningHeader, SigningKey, publish};

    const NOW: i64 = 1_700_000_000;

    fn usual() -> Value {
        json!({
            "iss": "https://idm", "aud": "broker", "iat": NOW, "exp": NOW + 120, "jti": "1", "sub": "alice",
            "events": { EVENT: {} },
        })
    }

    struct Ground {
        tokens: LogoutTokens,
        keys: HomeKeys,
        key: SigningKey,
    }

    impl Ground {
        fn new() -> Self {
            let key = SigningKey::generate(Algorithm::Es256).unwrap();
            let keys = HomeKeys::Fixed(KeySet::parse(publish([&key]).to_string().as_bytes()).unwrap());
            let settings = LogoutTokenSettings {
                issuer: "https://idm".to_owned(),
                client_id: "broker".to_owned(),
                algorithms: vec![Algorithm::Es256],
                leeway: Duration::from_secs(10),
            };
            let (clock, _) = Clock::manual(Timestamp::from_unix_seconds(NOW));
            Self { tokens: LogoutTokens::new(settings, clock), keys, key }
        }

        async fn present(&self, changes: Value, typ: Option<&str>) -> Result<Logout, LogoutTokenError> {
            let mut claims: Map<String, Value> = usual().as_object().unwrap().clone();
            for (name, value) in changes.as_object().unwrap() {
                claims.insert(name.clone(), value.clone());
            }
            let token = self.key.sign(&SigningHeader { typ, kid: true }, &claims).unwrap();
            self.tokens.validate(&self.keys, TokenRef::from(&token)).await
        }
    }

    #[tokio::test]
    async fn every_check_of_the_specification_is_made() {
        let typ = Some("logout+jwt");
        for (changes, typ, expected) in [
            (json!({"iss": "https://other"}), typ, LogoutTokenError::Issuer),
            (json!({"iss": null}), typ, LogoutTokenError::Issuer),
            (json!({"aud": "another"}), typ, LogoutTokenError::Audience),
            (json!({"aud": null}), typ, LogoutTokenError::Audience),
            (json!({"iat": null}), typ, LogoutTokenError::Time),
            (json!({"iat": NOW + 11}), typ, LogoutTokenError::Time),
            (json!({"iat": NOW - 601}), typ, LogoutTokenError::Time),
            (json!({"exp": null}), typ, LogoutTokenError::Time),
            (json!({"exp": NOW - 10}), typ, LogoutTokenError::Time),
            (json!({"exp": NOW + 3601}), typ, LogoutTokenError::Time),
            (json!({"events": null}), typ, LogoutTokenError::Kind),
            (json!({"events": {}}), typ, LogoutTokenError::Kind),
            (json!({"events": {EVENT: true}}), typ, LogoutTokenError::Kind),
            (json!({"events": [EVENT]}), typ, LogoutTokenError::Kind),
            (json!({"nonce": "n"}), typ, LogoutTokenError::Kind),
            (json!({}), Some("at+jwt"), LogoutTokenError::Kind),
            (json!({"sub": null}), typ, LogoutTokenError::Nobody),
            (json!({"jti": null}), typ, LogoutTokenError::Replayed),
        ] {
            let ground = Ground::new();
            assert_eq!(ground.present(changes.clone(), typ).await, Err(expected), "{changes} {typ:?}");
            assert!(
                ground.present(json!({}), Some("JWT")).await.is_ok(),
                "a right one is not used up: {changes}"
            );
        }
        let other = Ground { key: Ground::new().key, ..Ground::new() };
        let forged = other.present(json!({}), typ).await;
        assert!(matches!(forged, Err(LogoutTokenError::Token(_))), "{forged:?}");
    }

    #[tokio::test]
    async fn a_right_one_counts_once_and_says_who() {
        let ground = Ground::new();
        let logout = ground.present(json!({"aud": ["x", "broker"]}), None).await.unwrap();
        assert_eq!((logout.subject.as_deref(), logout.session), (Some("alice"), None));
        assert_eq!(logout.at, Timestamp::from_unix_seconds(NOW));
        assert_eq!(ground.present(json!({}), None).await, Err(LogoutTokenError::Replayed));
        let session = ground.present(json!({"jti": "2", "sub": null, "sid": "s"}), None).await.unwrap();
        assert_eq!((session.subject, session.session), (None, Some(session_digest("https://idm", "s"))));
    }

    #[tokio::test]
    async fn a_broker_without_a_registration_accepts_none() {
        let mut ground = Ground::new();
        ground.tokens.settings.client_id.clear();
        let outcome = ground.present(json!({"aud": [""]}), None).await;
        assert_eq!(outcome, Err(LogoutTokenError::Audience));
    }
}
