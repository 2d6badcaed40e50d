//! Whoever acts for a user (RFC 8693 §1.1): by a token of its own (`actor_token`), or because the home token says so
//! (`act`). Either is honoured or refused, and never passed over: a token that hides who acts names the wrong officer.

use super::policy::Denied;
use super::{Attempt, Deadline, Exchange, ExchangeError, policy, presented};
use crate::cache::Presented;
use crate::client::Client;
use crate::home::{ActorToken, Delegation, Subject, SubjectTokenError};
use crate::secret::{TokenDigest, TokenRef};

/// What becomes of home tokens that say who acts for their user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelegatedTokens {
    /// None is accepted.
    Refused,
    /// Who acts is told on to the partner, written down, and has tokens of its own in the cache.
    Honoured,
}

/// Whoever acts for the user of a request.
#[derive(Debug, Clone)]
pub(super) struct Actor {
    /// Its `sub`, or whatever else names users here.
    pub(super) id: String,
    /// What makes its tokens other ones than those of the user alone.
    pub(super) identity: [u8; 16],
    /// As far as it can be taken back: an actor that is signed out acts for nobody.
    pub(super) presented: Presented,
    /// What proves it; `None`: the home token says so.
    pub(super) proof: Option<ActorToken>,
}

impl Actor {
    /// The digest of both tokens, where there are two: a refusal may be for the sake of either.
    pub(super) fn credential(actor: Option<&Self>, subject_token: TokenDigest) -> TokenDigest {
        match actor.and_then(|actor| actor.proof.as_ref()) {
            Some(proof) => subject_token.with(&proof.token.digest()),
            None => subject_token,
        }
    }
}

impl Exchange {
    /// Who acts for `subject`, if anybody, once it is certain that it may.
    ///
    /// # Errors
    /// It may not; the actor token is not acceptable; or tokens of which somebody acts are not accepted here.
    pub(super) async fn actor(
        &self,
        client: &Client,
        subject: &Subject<'_>,
        actor_token: Option<TokenRef<'_>>,
        deadline: &Deadline,
        attempt: &mut Attempt,
    ) -> Result<Option<Actor>, ExchangeError> {
        let actor = match actor_token {
            Some(token) => Some(self.proven_actor(client, token, deadline, attempt).await?),
            None => None,
        };
        // It may have taken a while.
        self.check_not_revoked(&presented(subject), actor.as_ref())?;
        if !subject.delegates {
            self.note_actor(actor.as_ref(), attempt);
            return Ok(actor);
        }
        let proof = actor.as_ref().and_then(|actor| actor.proof.as_ref());
        let stated = self.stated_actor(client, subject, proof)?;
        self.check_not_revoked(&presented(subject), stated.as_ref())?;
        let actor = actor.or(stated);
        self.note_actor(actor.as_ref(), attempt);
        Ok(actor)
    }

    /// Who acts for the user by the word of the home token, if anybody, once it is certain that whoever asks, or `proof`,
    /// may. Calls nobody.
    ///
    /// # Errors
    /// As [`Self::actor`].
    pub(super) fn stated_actor(
        &self,
        client: &Client,
        subject: &Subject<'_>,
        proof: Option<&ActorToken>,
    ) -> Result<Option<Actor>, ExchangeError> {
        let claims = self.subject_tokens.claims(subject)?;
        let delegation = Delegation::of(&claims).map_err(SubjectTokenError::Claim)?;
        if delegation.is_acted_for() && self.delegated_tokens == DelegatedTokens::Refused {
            return Err(Denied::Delegated.into());
        }
        let issuer = self.subject_tokens.issuer();
        let permitted = match proof {
            Some(proof) => delegation.permits_actor(issuer, &proof.user.id, &client.id),
            None => {
                let mut parties = self.security_tokens.broker_id().into_iter().chain([client.id.as_str()]);
                parties.any(|party| delegation.permits_client(issuer, party))
            }
        };
        if !permitted {
            return Err(Denied::MayAct.into());
        }
        let stated = delegation.acting().zip(self.subject_tokens.acting(&delegation)).map(|(id, user)| {
            let presented = Presented { user, session: None, account: None, ..presented(subject) };
            Actor { id: id.to_owned(), identity: user, presented, proof: None }
        });
        // An act that names nobody.
        if delegation.is_acted_for() && stated.is_none() {
            return Err(Denied::Delegated.into());
        }
        Ok(stated)
    }

    /// An actor token is a home token like the user's: everything that is asked of that is asked of it.
    async fn proven_actor(
        &self,
        client: &Client,
        token: TokenRef<'_>,
        deadline: &Deadline,
        attempt: &Attempt,
    ) -> Result<Actor, ExchangeError> {
        // Before it is looked at: who may present none learns nothing of any.
        if !client.actor_tokens {
            return Err(Denied::ActorToken.into());
        }
        let (actor, _) = self.validated(token, deadline, attempt).await.map_err(|error| match error {
            ExchangeError::SubjectToken(error) => ExchangeError::ActorToken(error),
            other => other,
        })?;
        policy::may_present(client, &actor)?;
        // Whoever acts by somebody else in turn would be hidden by it.
        if actor.delegates {
            return Err(Denied::Delegated.into());
        }
        let presented = presented(&actor);
        if self.cache.revocations().concern(&presented) {
            return Err(ExchangeError::ActorToken(SubjectTokenError::Revoked));
        }
        let user = self.subject_tokens.user(&actor).map_err(ExchangeError::ActorToken)?;
        let (id, identity) = (user.id.clone(), actor.identity);
        Ok(Actor { id, identity, presented, proof: Some(ActorToken { user, token: token.into() }) })
    }

    fn note_actor(&self, actor: Option<&Actor>, attempt: &mut Attempt) {
        let Some(actor) = actor else { return };
        attempt.actor = Some(actor.presented.user);
        if self.names_users {
            attempt.actor_id = Some(actor.id.clone());
        }
    }
}
