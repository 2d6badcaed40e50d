//! Opaque home tokens: the home IdM is asked (RFC 7662), and its answer believed for seconds only.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use serde_json::Value;
use zeroize::Zeroizing;

use super::subject_token::SubjectTokenError;
use crate::clock::Clock;
use crate::idm::{Guard, Idm, IdmError, Parameters};
use crate::jose::Claims;
use crate::secret::{TokenDigest, TokenRef};

/// Answers remembered at once, and the largest that is read: together they bound memory whatever is presented and answered.
const MAX_REMEMBERED: usize = 2_000;
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Before it is asked again, at most: who waits for longer is told to come back instead.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Which tokens are introspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntrospectionMode {
    /// Tokens that are not JWTs.
    Opaque,
    /// JWTs too, after their signature was verified: a revoked one is then refused within seconds.
    Always,
}

/// Asks the home IdM about tokens.
pub struct Introspector {
    idm: Arc<Idm>,
    guard: Guard,
    mode: IntrospectionMode,
    remember_for: Duration,
    remembered: Cache<TokenDigest, Remembered>,
    clock: Clock,
}

#[derive(Clone)]
struct Remembered {
    outcome: Result<Arc<Claims>, SubjectTokenError>,
    until: Duration,
}

impl Introspector {
    /// `guard`: of its introspection endpoint; `remember_for`: a revoked token is accepted that much longer.
    pub fn new(
        idm: Arc<Idm>,
        guard: Guard,
        mode: IntrospectionMode,
        remember_for: Duration,
        clock: Clock,
    ) -> Self {
        Self { idm, guard, mode, remember_for, remembered: Cache::new(MAX_REMEMBERED), clock }
    }

    /// What stands before the endpoint.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Which tokens are asked about.
    pub fn mode(&self) -> IntrospectionMode {
        self.mode
    }

    /// Asks about `token`, or remembers the answer; `judge` checks the claims either way, because time passes.
    pub async fn introspect(
        &self,
        token: TokenRef<'_>,
        judge: impl Fn(&Claims) -> Result<(), SubjectTokenError>,
    ) -> Result<Arc<Claims>, SubjectTokenError> {
        let judged = |claims: Arc<Claims>| judge(&claims).map(|()| claims);
        let digest = token.digest();
        let now = self.clock.monotonic();
        if let Some(known) = self.remembered.get(&digest).filter(|known| now < known.until) {
            return known.outcome.and_then(judged);
        }
        let outcome = self.ask(token).await.map(Arc::new);
        // An unreachable home IdM is not an answer.
        if !matches!(outcome, Err(SubjectTokenError::Home(_))) {
            let until = now + self.remember_for;
            self.remembered.insert(digest, Remembered { outcome: outcome.clone(), until });
        }
        outcome.and_then(judged)
    }

    async fn introspected(&self, url: &str, token: TokenRef<'_>) -> Result<Zeroizing<Vec<u8>>, IdmError> {
        let mut parameters = Parameters::default();
        parameters.set("token", token.expose());
        parameters.set("token_type_hint", "access_token");
        let mut retries = self.guard.retries();
        loop {
            let asked = self.idm.post_authenticated(&self.guard, url, parameters.clone(), None).await;
            let Some(pause) = asked.as_ref().err().and_then(|error| retries.pause(error, LONGEST_PAUSE))
            else {
                return asked;
            };
            self.guard.count_retry();
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self, token: TokenRef<'_>) -> Result<Claims, SubjectTokenError> {
        let url = self.idm.introspection_endpoint().await.map_err(SubjectTokenError::Home)?;
        let body = self.introspected(&url, token).await.map_err(SubjectTokenError::Home)?;
        if body.len() > MAX_ANSWER_BYTES {
            return Err(nonsense("it is larger than 16 KiB"));
        }
        let claims =
            Claims::from_json(&body).map_err(|_| nonsense("it is not JSON with each member once"))?;
        match claims.get("active") {
            Some(Value::Bool(true)) => Ok(claims),
            Some(Value::Bool(false)) => Err(SubjectTokenError::Inactive),
            _ => Err(nonsense("it does not say whether the token is active")),
        }
    }
}

/// An answer that decides nothing: the home IdM is at fault, not the caller, and it is not remembered.
pub(super) fn nonsense(what: impl std::fmt::Display) -> SubjectTokenError {
    SubjectTokenError::Home(IdmError::Nonsense(format!("introspection: {what}")))
}

impl std::fmt::Debug for Introspector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Introspector").field("mode", &self.mode).finish_non_exhaustive()
    }
}
