//! The home IdM's public keys: from a file, or from its key set endpoint with rotation.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{Mutex, Semaphore};

use crate::clock::Clock;
use crate::idm::{Idm, IdmError};
use crate::jose::{Algorithm, JoseError, KeySet, UnverifiedToken};
use crate::secret::sha256;
use crate::telemetry::runbook::Runbook;

/// While there are no keys at all, the endpoint is asked again this soon: every user waits for it.
const COOLDOWN_WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// Requests that wait for a key set at a time. Their tokens are not verified: anybody can send them.
const MAX_WAITING: usize = 1024;

/// Where the keys come from.
#[derive(Debug)]
pub enum HomeKeys {
    /// A JWKS file, read at start.
    Fixed(KeySet),
    /// `jwks_uri`, stated or discovered.
    Remote(Arc<RemoteKeys>),
}

/// How it stands with the home IdM's keys, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetState {
    /// `file` or `jwks_uri`.
    pub source: &'static str,
    /// How many there are.
    pub keys: usize,
    /// How long ago they were fetched; `None`: they never were, or come from a file.
    pub age: Option<Duration>,
    /// Why the last attempt to fetch them failed.
    pub failure: Option<String>,
}

/// Why a signature could not be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// The token is at fault.
    Token(JoseError),
    /// The keys that could decide are not to be had.
    Unavailable(IdmError),
}

impl HomeKeys {
    /// Checks the signature of `token`; the [version](Self::version) of the key set that it was verified with.
    pub async fn verify(&self, token: &UnverifiedToken, algorithms: &[Algorithm]) -> Result<u32, KeyError> {
        match self {
            Self::Fixed(set) => set.verify(token, algorithms).map(|_| 0).map_err(KeyError::Token),
            Self::Remote(keys) => keys.verify(token, algorithms).await,
        }
    }

    /// How it stands with them. `now`: by the monotonic clock.
    pub fn state(&self, now: Duration) -> KeySetState {
        match self {
            Self::Fixed(set) => KeySetState { source: "file", keys: set.len(), age: None, failure: None },
            Self::Remote(keys) => keys.state(now),
        }
    }

    /// Which key set is in force: another number after each change of its content, `None` while there is none. To be
    /// asked on every request, with the monotonic time: it is also what keeps an old set from being used for ever when no
    /// signature is verified.
    pub fn version(&self, now: Duration) -> Option<u32> {
        match self {
            Self::Fixed(_) => Some(0),
            Self::Remote(keys) => {
                let known = keys.current.load();
                let known = known.as_ref()?;
                keys.refresh_when_old(known, now);
                Some(known.version)
            }
        }
    }
}

/// Keys of a `jwks_uri`. Requests read the current set without a lock; an unknown `kid` asks for a new one, at most
/// once per cooldown whatever the number of requests (else forged tokens make the broker hammer the home IdM), and an
/// endpoint that is down keeps the last good set.
#[derive(Debug)]
pub struct RemoteKeys {
    idm: Arc<Idm>,
    clock: Clock,
    cooldown: Duration,
    interval: Duration,
    current: ArcSwapOption<Fetched>,
    last_attempt: Mutex<Option<Attempt>>,
    /// Places for those who wait for a set.
    waiting: Arc<Semaphore>,
}

#[derive(Debug)]
struct Fetched {
    set: KeySet,
    at: Duration,
    /// Counts the changes of its content.
    version: u32,
    content: [u8; 32],
}

#[derive(Debug)]
struct Attempt {
    at: Duration,
    failure: Option<IdmError>,
}

impl RemoteKeys {
    /// `cooldown`: between two refreshes because of unknown keys; `interval`: after which the set is refreshed in the background.
    pub fn new(idm: Arc<Idm>, clock: Clock, cooldown: Duration, interval: Duration) -> Arc<Self> {
        let (current, last_attempt) = (ArcSwapOption::empty(), Mutex::new(None));
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        Arc::new(Self { idm, clock, cooldown, interval, current, last_attempt, waiting })
    }

    async fn verify(
        self: &Arc<Self>,
        token: &UnverifiedToken,
        algorithms: &[Algorithm],
    ) -> Result<u32, KeyError> {
        let known = self.current.load_full();
        if let Some(known) = &known {
            match known.set.verify(token, algorithms).map(|_| known.version) {
                Err(error) if may_be_rotation(error, token) => {}
                outcome => {
                    self.refresh_when_old(known, self.clock.monotonic());
                    return outcome.map_err(KeyError::Token);
                }
            }
        } else if !algorithms.contains(&token.header().algorithm) {
            return Err(KeyError::Token(JoseError::Algorithm));
        }
        let not_looked = self.refresh(known.map(|known| known.at)).await;
        match (self.current.load_full(), not_looked) {
            (Some(fetched), not_looked) => match fetched.set.verify(token, algorithms) {
                Ok(_) => Ok(fetched.version),
                // The key may exist by now: the caller is not to blame while we cannot look.
                Err(JoseError::UnknownKey) if not_looked.is_some() => {
                    Err(not_looked.map_or(KeyError::Token(JoseError::UnknownKey), KeyError::Unavailable))
                }
                Err(error) => Err(KeyError::Token(error)),
            },
            (None, Some(not_looked)) => Err(KeyError::Unavailable(not_looked)),
            (None, None) => Err(KeyError::Unavailable(IdmError::NoAnswer)),
        }
    }

    /// Fetches the set unless somebody did since `seen`. Returns why it was not looked at: the last attempt failed, or there was
    /// one so lately that the cooldown lasts.
    async fn refresh(self: &Arc<Self>, seen: Option<Duration>) -> Option<IdmError> {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Some(IdmError::Overloaded);
        };
        let keys = Arc::clone(self);
        // A task of its own: a caller that hangs up must not abort the refresh that others wait for.
        let refreshed = tokio::spawn(async move {
            // Until the task ends, whoever has stopped waiting for it.
            let _place = place;
            let mut last = keys.last_attempt.lock().await;
            if keys.current.load().as_ref().map(|fetched| fetched.at) != seen {
                return None;
            }
            let cooldown =
                if seen.is_some() { keys.cooldown } else { keys.cooldown.min(COOLDOWN_WITHOUT_KEYS) };
            let now = keys.clock.monotonic();
            if let Some(attempt) = last.as_ref().filter(|attempt| now < attempt.at + cooldown) {
                let rest = (attempt.at + cooldown).saturating_sub(now);
                return Some(attempt.failure.clone().unwrap_or(IdmError::AskedJustNow(rest)));
            }
            let failure = keys.fetch(now).await.err();
            if let Some(error) = &failure {
                let kept = seen.is_some();
                let runbook = Runbook("McxBrokerHomeKeysOld");
                tracing::warn!(%error, kept, %runbook, "the home IdM's key set could not be fetched");
            }
            // The rest begins when the attempt has ended: one that took long is not followed by the next at once.
            *last = Some(Attempt { at: keys.clock.monotonic(), failure: failure.clone() });
            failure
        });
        refreshed.await.unwrap_or(Some(IdmError::NoAnswer))
    }

    async fn fetch(&self, now: Duration) -> Result<(), IdmError> {
        let url = self.idm.jwks_uri().await?;
        let body = self.idm.fetch(&url).await?;
        let set = KeySet::parse(&body).map_err(|error| IdmError::Nonsense(error.to_string()))?;
        tracing::info!(keys = set.len(), skipped = set.skipped(), "fetched the home IdM's key set");
        let content = sha256(&body);
        let version = self.current.load().as_ref().map_or(0, |before| {
            if before.content == content { before.version } else { before.version.wrapping_add(1) }
        });
        self.current.store(Some(Arc::new(Fetched { set, at: now, version, content })));
        Ok(())
    }

    fn refresh_when_old(self: &Arc<Self>, known: &Fetched, now: Duration) {
        let old = now >= known.at + self.interval;
        // Somebody holds the lock: a refresh is under way.
        if old && self.last_attempt.try_lock().is_ok() {
            let (keys, seen) = (Arc::clone(self), known.at);
            tokio::spawn(async move { keys.refresh(Some(seen)).await });
        }
    }

    /// Fetches the set before the first request needs it.
    pub async fn warm_up(self: &Arc<Self>) {
        self.refresh(None).await;
    }

    /// How long ago they were fetched; `None`: they never were. `now`: by the monotonic clock.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.current.load().as_ref().map(|fetched| now.saturating_sub(fetched.at))
    }

    fn state(&self, now: Duration) -> KeySetState {
        // While somebody fetches, the last attempt is not known; nobody waits for it here.
        let last = self.last_attempt.try_lock().ok();
        let failure = last.as_deref().and_then(Option::as_ref).and_then(|attempt| attempt.failure.as_ref());
        KeySetState {
            source: "jwks_uri",
            keys: self.current.load().as_ref().map_or(0, |fetched| fetched.set.len()),
            age: self.age(now),
            failure: failure.map(ToString::to_string),
        }
    }

    /// Whether there is a set to verify with.
    pub fn is_ready(&self) -> bool {
        self.current.load().is_some()
    }
}

/// An unknown `kid`, or, in a token without `kid` (TS 33.180 B.2.2), a signature that no known key fits.
fn may_be_rotation(error: JoseError, token: &UnverifiedToken) -> bool {
    error == JoseError::UnknownKey || (error == JoseError::Signature && token.header().kid.is_none())
}
