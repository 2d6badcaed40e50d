//! The state of the IdM, and what it issues.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::behaviour::{Behaviour, Format};
use super::clients::Clients;
use super::faults::Faults;
use super::journal::Journal;
use super::keys::Keys;
use super::outbound::Outbound;
use super::tokens::{Codes, Issued, Kind, Replay, Scopes, Tokens, scopes, spaced, uuid};
use super::trust::Trust;
use super::users::{User, Users};
use super::{SandboxError, locked};
use crate::clock::Clock;
use crate::random;

/// How long a refresh token lives: longer than any demonstration.
const REFRESH_SECONDS: i64 = 30 * 24 * 3600;

/// Everything behind the endpoints.
pub(super) struct Idm {
    /// Scheme, host and port of the endpoints.
    pub(super) base: String,
    /// The issuer, when it is not the base.
    pub(super) configured_issuer: Option<String>,
    pub(super) clock: Clock,
    pub(super) behaviour: RwLock<Arc<Behaviour>>,
    pub(super) clients: Clients,
    pub(super) users: Users,
    pub(super) keys: Keys,
    pub(super) tokens: Tokens,
    pub(super) codes: Codes,
    pub(super) replay: Replay,
    pub(super) trust: Trust,
    pub(super) outbound: Outbound,
    pub(super) targets: Mutex<Vec<String>>,
    pub(super) access_token_audience: Vec<String>,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
}

impl Idm {
    pub(super) fn now(&self) -> i64 {
        self.clock.now().unix_seconds()
    }

    pub(super) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_behaviour(&self, behaviour: Behaviour) {
        *self.behaviour.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    pub(super) fn issuer(&self) -> String {
        match &self.configured_issuer {
            Some(issuer) => issuer.clone(),
            None if self.behaviour().issuer_slash => format!("{}/", self.base),
            None => self.base.clone(),
        }
    }

    pub(super) fn token_endpoint(&self) -> String {
        format!("{}{}", self.base, self.behaviour().token_path)
    }

    /// The registered targets of the first leg.
    pub(super) fn targets(&self) -> Vec<String> {
        locked(&self.targets).clone()
    }

    /// An access token of a login (B.2.2). `changes` overrides claims; `null` takes one out.
    pub(super) fn issue_login_token(
        &self,
        user: &User,
        client: &str,
        scope: &Scopes,
        family: &str,
        changes: &Map<String, Value>,
    ) -> Result<String, SandboxError> {
        let behaviour = self.behaviour();
        let login = &behaviour.login;
        let mut claims = user.claims.clone();
        claims.extend(self.times(login.lifetime));
        claims.insert("iss".to_owned(), json!(self.issuer()));
        claims.insert("sub".to_owned(), json!(user.subject));
        claims.insert("aud".to_owned(), json!(self.access_token_audience));
        claims.insert("client_id".to_owned(), json!(client));
        claims.insert("jti".to_owned(), json!(random::id()));
        let listed = if login.scope_array { json!(scope) } else { json!(spaced(scope)) };
        claims.insert("scope".to_owned(), listed);
        claims.extend(login.claims.clone());
        claims.retain(|name, _| !login.omitted_claims.contains(name));
        claims.extend(changes.clone());
        claims.retain(|_, value| !value.is_null());
        let expires = claims.get("exp").and_then(Value::as_i64).unwrap_or(i64::MAX);
        let token = self.write(login.format, &login.typ, login.kid, &claims)?;
        let issued = Issued {
            kind: Kind::Access,
            subject: user.subject.clone(),
            client: client.to_owned(),
            scope: scopes(claims.get("scope")),
            expires,
            family: family.to_owned(),
            claims,
        };
        self.tokens.remember(&token, issued, self.now());
        Ok(token)
    }

    /// A refresh token (B.5) of the same family as the access token.
    pub(super) fn issue_refresh_token(
        &self,
        subject: &str,
        client: &str,
        scope: &Scopes,
        family: &str,
    ) -> String {
        let token = random::secret();
        let issued = Issued {
            kind: Kind::Refresh,
            subject: subject.to_owned(),
            client: client.to_owned(),
            scope: scope.clone(),
            expires: self.now().saturating_add(REFRESH_SECONDS),
            family: family.to_owned(),
            claims: Map::new(),
        };
        self.tokens.remember(&token, issued, self.now());
        token
    }

    /// An ID token (B.2.1).
    pub(super) fn issue_id_token(
        &self,
        subject: &str,
        client: &str,
        family: &str,
        further: &Map<String, Value>,
    ) -> Result<String, SandboxError> {
        let mut claims = further.clone();
        claims.extend(self.times(3600));
        claims.insert("iss".to_owned(), json!(self.issuer()));
        claims.insert("sub".to_owned(), json!(subject));
        claims.insert("aud".to_owned(), json!(client));
        let token = self.keys.sign("JWT", true, &claims)?;
        let issued = Issued {
            kind: Kind::Id,
            subject: subject.to_owned(),
            client: client.to_owned(),
            scope: Scopes::new(),
            expires: self.now().saturating_add(3600),
            family: family.to_owned(),
            claims,
        };
        self.tokens.remember(&token, issued, self.now());
        Ok(token)
    }

    /// Its time as HTTP writes it (RFC 9110 §5.6.7).
    pub(super) fn date(&self) -> String {
        let since = Duration::from_secs(u64::try_from(self.now()).unwrap_or(0));
        httpdate::fmt_http_date(UNIX_EPOCH + since)
    }

    /// `iat` and `exp`.
    pub(super) fn times(&self, lifetime: u64) -> Map<String, Value> {
        let now = self.now();
        let expires = now.saturating_add(i64::try_from(lifetime).unwrap_or(i64::MAX));
        [("iat".to_owned(), json!(now)), ("exp".to_owned(), json!(expires))].into_iter().collect()
    }

    /// The token itself: a JWT of these claims, or a UUID that says nothing.
    pub(super) fn write(
        &self,
        format: Format,
        typ: &str,
        kid: bool,
        claims: &Map<String, Value>,
    ) -> Result<String, SandboxError> {
        match format {
            Format::Jwt => self.keys.sign(typ, kid, claims),
            Format::Opaque => Ok(uuid()),
        }
    }
}
