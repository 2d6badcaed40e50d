//! The subject token: a home access token (TS 33.180 B.2.2, RFC 9068), validated before anything is done for its bearer.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::acceptance::{
    SubjectTokenSettings, account_digest, check_type, first_text, judge, judge_stated, user_digest,
};
use super::delegation::{self, Delegation};
use super::introspection::{self, IntrospectionMode, Introspector};
use super::keys::{HomeKeys, KeyError};
use super::remembered::{RememberedTokens, Verified};
use crate::clock::{Clock, Moment, Timestamp};
use crate::idm::IdmError;
use crate::jose::{ClaimError, Claims, JoseError, UnverifiedToken};
use crate::secret::{TokenDigest, TokenRef};

/// A validated user of the home domain: what every request needs of it. No name and no claim, so that what is remembered
/// of many tokens is small; [`SubjectTokens::user`] reads those again for the few who need them.
#[derive(Debug, Clone)]
pub struct Subject<'t> {
    /// Digest of the home issuer, the claim that names the user (`sub` of one user could equal `mcptt_id` of another) and
    /// its value.
    pub user: [u8; 16],
    /// Digest of the user and of every claim that may name it: one account can be signed in under several MCX ids.
    pub identity: [u8; 16],
    /// [`crate::secret::digest_of_name`] of the client that the token was issued to.
    pub issued_to: Option<[u8; 16]>,
    /// The token.
    pub token: TokenRef<'t>,
    /// Its digest.
    pub digest: TokenDigest,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// Start of the digest of the session that it belongs to (`sid`), if it says so.
    pub session: Option<[u8; 8]>,
    /// Start of the digest of its account (`sub`), if another claim names its user.
    pub account: Option<[u8; 8]>,
    /// Until when it can count.
    pub expires_at: Timestamp,
    /// Whether it says who acts for the user, or who may ([`Delegation`]).
    pub delegates: bool,
    /// How its signature was verified.
    pub signature: Signature,
    /// The home IdM's answer, where the token itself says nothing.
    introspected: Option<Arc<Claims>>,
}

/// How a token's signature was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// For this request.
    Verified,
    /// For an earlier one.
    Remembered,
    /// It has none: the home IdM was asked.
    Introspected,
}

/// A user by name.
#[derive(Debug, Clone)]
pub struct User {
    /// The user.
    pub id: String,
    /// The verified claims.
    pub claims: Arc<Claims>,
}

/// Why a subject token is not accepted. The texts name claims, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectTokenError {
    /// Not a JWT, wrong algorithm, or wrong signature.
    #[error("{0}")]
    Token(JoseError),
    /// A claim of the wrong form.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// A required claim is missing.
    #[error("it has no claim {0}")]
    Missing(String),
    /// The header's `typ` is that of another kind of token.
    #[error("its typ is not that of an access token")]
    Type,
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `exp` is implausibly far ahead.
    #[error("its exp is implausibly far ahead")]
    Lifetime,
    /// Not the home issuer.
    #[error("its issuer is not the home IdM")]
    Issuer,
    /// Meant for somebody else.
    #[error("its audience is not accepted here")]
    Audience,
    /// The home IdM would refuse to exchange it for us.
    #[error("it does not name the broker where the home IdM demands it (aud, azp or may_act)")]
    BrokerNotNamed,
    /// No claim names the user, or an overlong one.
    #[error("no claim names its user")]
    Identity,
    /// It was revoked, or its user or session was signed out after it was issued.
    #[error("it was revoked, or its user has signed out")]
    Revoked,
    /// The home IdM says that it is not active (RFC 7662 §2.2).
    #[error("the home IdM says that it is not active")]
    Inactive,
    /// The home IdM's keys or its introspection endpoint cannot be had: nothing unverified is accepted meanwhile.
    #[error("the home IdM is needed to verify it: {0}")]
    Home(IdmError),
}

/// Validates subject tokens.
#[derive(Debug)]
pub struct SubjectTokens {
    pub(super) settings: SubjectTokenSettings,
    keys: HomeKeys,
    introspector: Option<Introspector>,
    remembered: RememberedTokens,
    /// Whose session or account it is: a logout may name nothing else.
    sessions: Cache<[u8; 8], [u8; 16]>,
    pub(super) clock: Clock,
}

impl SubjectTokens {
    /// `introspector`: for opaque tokens (RFC 7662), or for all of them. `remembered_tokens`: how many verified tokens are
    /// remembered at most.
    pub fn new(
        settings: SubjectTokenSettings,
        keys: HomeKeys,
        introspector: Option<Introspector>,
        remembered_tokens: usize,
        clock: Clock,
    ) -> Self {
        let remembered = RememberedTokens::new(remembered_tokens);
        let sessions = Cache::new(remembered_tokens);
        Self { settings, keys, introspector, remembered, sessions, clock }
    }

    /// The keys, for readiness and warm-up.
    pub fn keys(&self) -> &HomeKeys {
        &self.keys
    }

    /// Who is asked about opaque tokens.
    pub fn introspector(&self) -> Option<&Introspector> {
        self.introspector.as_ref()
    }

    /// Validates a token that was seen before, without any I/O; `None`: it has to be [validated](Self::validate) in full.
    pub fn recall<'t>(
        &self,
        token: TokenRef<'t>,
        now: Moment,
    ) -> Option<Result<Subject<'t>, SubjectTokenError>> {
        if self.mode() == Some(IntrospectionMode::Always) {
            return None;
        }
        let digest = token.digest();
        let verified = self.remembered.recall(&digest, self.keys.version(now.monotonic)?)?;
        let outcome = verified.times.check(now.wall, self.settings.longest());
        if outcome == Err(SubjectTokenError::Expired) {
            self.remembered.forget(&digest);
        }
        Some(outcome.map(|()| verified.subject(token, digest, Signature::Remembered, None)))
    }

    /// Validates one token: signature, then claims. Whoever is let through here gets another user's access.
    pub async fn validate<'t>(&self, token: TokenRef<'t>) -> Result<Subject<'t>, SubjectTokenError> {
        let digest = token.digest();
        let unverified = match (UnverifiedToken::parse(token.expose()), &self.introspector) {
            (Ok(unverified), _) => unverified,
            // Opaque, whatever it looks like.
            (Err(JoseError::Malformed(_)), Some(introspector)) => {
                let claims = introspector.introspect(token, |claims| self.judge_introspected(claims)).await?;
                let verified = judge_stated(&claims, &self.settings, self.clock.now())?;
                self.note_session(&verified);
                return Ok(verified.subject(token, digest, Signature::Introspected, Some(claims)));
            }
            (Err(error), _) => return Err(SubjectTokenError::Token(error)),
        };
        let Moment { wall: now, monotonic } = self.clock.moment();
        let known = self.keys.version(monotonic).and_then(|keys| self.remembered.recall(&digest, keys));
        let signature = if known.is_some() { Signature::Remembered } else { Signature::Verified };
        let verified = match known {
            Some(verified) => {
                verified.times.check(now, self.settings.longest())?;
                verified
            }
            None => {
                let keys = self.verify(&unverified).await?;
                check_type(unverified.header().typ.as_deref(), &self.settings.types)?;
                let verified = judge(unverified.unverified_claims(), &self.settings, now)?;
                let origin = verified.origin.verified_with(keys);
                self.remembered.remember(digest, Verified { origin, ..verified });
                self.note_session(&verified);
                verified
            }
        };
        if self.mode() == Some(IntrospectionMode::Always)
            && let Some(introspector) = &self.introspector
        {
            let answer = introspector.introspect(token, |claims| self.judge_introspected(claims)).await?;
            delegation::check_agreement(unverified.unverified_claims(), &answer)?;
        }
        Ok(verified.subject(token, digest, signature, None))
    }

    /// A logout may name nothing but the session, or the account.
    fn note_session(&self, verified: &Verified) {
        for handle in [verified.session, verified.account].into_iter().flatten() {
            self.sessions.insert(handle.get().to_be_bytes(), verified.user);
        }
    }

    /// Whether validating this token would show it to the home IdM.
    pub fn would_show(&self, token: TokenRef<'_>) -> bool {
        let is_opaque = || matches!(UnverifiedToken::parse(token.expose()), Err(JoseError::Malformed(_)));
        self.introspector.is_some() && is_opaque()
    }

    /// Whether the home IdM is, by the word of the token itself, the one that issued it.
    pub fn may_have_issued(&self, token: TokenRef<'_>) -> bool {
        UnverifiedToken::parse(token.expose()).is_ok_and(|token| {
            let issuer = token.unverified_claims().text("iss");
            issuer.is_ok_and(|issuer| issuer.is_none_or(|issuer| issuer == self.settings.issuer))
        })
    }

    /// The name and the claims of a validated subject, for who has to tell them to somebody.
    ///
    /// # Errors
    /// None for a subject that was validated with the same settings.
    pub fn user(&self, subject: &Subject<'_>) -> Result<User, SubjectTokenError> {
        let claims = self.claims(subject)?;
        let (_, id) =
            first_text(&claims, &self.settings.subject_claims)?.ok_or(SubjectTokenError::Identity)?;
        Ok(User { id: id.to_owned(), claims })
    }

    /// The claims of a validated subject, read again.
    ///
    /// # Errors
    /// None for a subject that was validated.
    pub fn claims(&self, subject: &Subject<'_>) -> Result<Arc<Claims>, SubjectTokenError> {
        match &subject.introspected {
            Some(claims) => Ok(Arc::clone(claims)),
            None => UnverifiedToken::parse(subject.token.expose())
                .map(|token| Arc::new(token.into_unverified_claims()))
                .map_err(SubjectTokenError::Token),
        }
    }

    /// The digest of whoever acts for the user by the word of the token: a user of the home domain, by its `sub`.
    pub fn acting(&self, delegation: &Delegation<'_>) -> Option<[u8; 16]> {
        delegation.acting().map(|sub| user_digest(&self.settings.issuer, "sub", sub))
    }

    /// The home issuer, as tokens name it.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The digests that a user of this name can have: one for each claim that may name users.
    pub fn users_named(&self, id: &str) -> Vec<[u8; 16]> {
        // Whoever acts for somebody is named by `sub`, whatever names users.
        let stated = &self.settings.subject_claims;
        let further = Some("sub").filter(|sub| !stated.iter().any(|claim| claim == sub));
        stated
            .iter()
            .map(String::as_str)
            .chain(further)
            .map(|claim| user_digest(&self.settings.issuer, claim, id))
            .collect()
    }

    /// What stands for the account of this `sub`, as in [`Subject::account`]; `None`: `sub` names the users of all tokens that
    /// have it.
    pub fn account_named(&self, sub: &str) -> Option<[u8; 8]> {
        let names_all = self.settings.subject_claims.first().is_some_and(|claim| claim == "sub");
        (!names_all).then(|| account_digest(&self.settings.issuer, sub))
    }

    /// The user whose token of this session, or this account, was seen here last.
    pub fn user_of(&self, session: [u8; 8]) -> Option<[u8; 16]> {
        self.sessions.get(&session)
    }

    /// No token that is accepted lives longer, leeway included.
    pub fn longest_lifetime(&self) -> Duration {
        self.settings.longest()
    }

    fn mode(&self) -> Option<IntrospectionMode> {
        self.introspector.as_ref().map(Introspector::mode)
    }

    pub(super) async fn verify(&self, token: &UnverifiedToken) -> Result<u32, SubjectTokenError> {
        self.keys.verify(token, &self.settings.algorithms).await.map_err(|error| match error {
            KeyError::Token(error) => SubjectTokenError::Token(error),
            KeyError::Unavailable(error) => SubjectTokenError::Home(error),
        })
    }

    /// An introspection response is the home IdM's own word, given over TLS: what it leaves out (RFC 7662 §2.2 makes
    /// everything but `active` optional) is not held against the token, what it states is.
    pub(super) fn judge_introspected(&self, claims: &Claims) -> Result<(), SubjectTokenError> {
        judge_stated(claims, &self.settings, self.clock.now()).map(|_| ()).map_err(|error| match error {
            SubjectTokenError::Claim(error) => introspection::nonsense(error),
            other => other,
        })
    }
}

impl Verified {
    pub(super) fn subject(
        self,
        token: TokenRef<'_>,
        digest: TokenDigest,
        signature: Signature,
        introspected: Option<Arc<Claims>>,
    ) -> Subject<'_> {
        let Self { user, identity, issued_to, issued_at, session, account, times, origin } = self;
        let issued_to = (issued_to != [0; 16]).then_some(issued_to);
        let [session, account] = [session, account].map(|it| it.map(|digest| digest.get().to_be_bytes()));
        let issued_at = issued_at.map(|seconds| Timestamp::from_unix_seconds(seconds.get().into()));
        Subject {
            user,
            identity,
            issued_to,
            issued_at,
            session,
            account,
            expires_at: times.not_after(),
            delegates: origin.delegates(),
            token,
            digest,
            signature,
            introspected,
        }
    }
}
