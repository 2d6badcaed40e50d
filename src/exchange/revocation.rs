//! What is taken back: a home token or a partner token that its client gives up (RFC 7009), a user or a session that the home
//! IdM signs out (OpenID Connect Back-Channel Logout). Nothing that was obtained with it is served any more, by any replica,
//! and the partners that issued it are told.

use std::time::Duration;

use super::attempt::Attempt;
use super::deadline::Deadline;
use super::error::Fault;
use super::policy::Denied;
use super::{Exchange, ExchangeError, Leg, policy, presented};
use crate::cache::{CachedToken, Issued, Purge, RedisIsAway, Revocation, Revoked};
use crate::client::{Client, Credentials};
use crate::clock::Timestamp;
use crate::home::{Logout, Subject, SubjectTokenError};
use crate::idm::IdmError;
use crate::partner::RevocableToken;
use crate::secret::TokenRef;

/// What a home token that is revoked takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokedTokenTakes {
    /// All that was obtained for its user.
    User,
    /// What the client that revokes it obtained for its user.
    Client,
}

impl Exchange {
    /// Takes a token back. One that was not issued here, and is no (or no longer a) home token, is none to take back, which
    /// is what was asked for (RFC 7009 §2.2).
    ///
    /// # Errors
    /// The caller is not who it says, or the token is another client's; the home IdM or Redis is needed to tell and away;
    /// other replicas could not be told, and may accept or serve the token until Redis is back.
    pub async fn revoke(
        &self,
        credentials: &Credentials<'_>,
        token: TokenRef<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), ExchangeError> {
        let definitions = self.definitions();
        let client = definitions.clients.authenticate(credentials)?;
        attempt.authenticated_as(client);
        client.admit().map_err(|wait| ExchangeError::TooManyRequests { wait })?;
        if let Some(known) = self.subject_tokens.recall(token, self.clock.moment()) {
            return match known {
                Ok(subject) => self.revoke_home_token(client, &subject, attempt).await,
                Err(_) => Ok(()),
            };
        }
        let deadline = Deadline::after(attempt.started, self.timeout, &self.clock);
        // Before anybody else is asked: a partner's token is shown to nobody but that partner.
        let issued = async { Ok::<_, ExchangeError>(self.cache.issued(token).await) };
        let nobody_knows = match deadline.wait(Leg::Broker, issued).await? {
            Ok(Some(issued)) => return self.revoke_partner_token(client, &issued, token, attempt).await,
            Ok(None) => Ok(()),
            Err(RedisIsAway) => Err(ExchangeError::StoreIsAway),
        };
        if nobody_knows.is_err() && self.subject_tokens.would_show(token) {
            // It may be a partner's, and is shown to nobody else. Nothing is remembered of what nobody has verified: whoever
            // makes up tokens would fill what is known of those that were really taken back.
            return nobody_knows;
        }
        let validation = Box::pin(self.subject_tokens.validate(token));
        match deadline.wait(Leg::Home, validation).await {
            Ok(subject) => self.revoke_home_token(client, &subject, attempt).await,
            // It will be: by a clock that is behind the home IdM's. Its signature is right.
            Err(ExchangeError::SubjectToken(SubjectTokenError::NotYetValid)) => {
                let until = self.clock.now().plus(self.subject_tokens.longest_lifetime());
                let what = Revoked::Token(token.digest().half());
                let told = self.take_back(what, self.clock.now(), until).await;
                if told { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
            }
            // Its key is not known, and would be if it were the home IdM's.
            Err(ExchangeError::SubjectToken(SubjectTokenError::Home(IdmError::AskedJustNow(_))))
                if !self.subject_tokens.may_have_issued(token) =>
            {
                nobody_knows
            }
            Err(error) if error.fault() == Fault::Caller => nobody_knows,
            Err(error) => Err(error),
        }
    }

    async fn revoke_home_token(
        &self,
        client: &Client,
        subject: &Subject<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), ExchangeError> {
        policy::may_present(client, subject)?;
        self.note_user(subject, attempt);
        let what = Revoked::Token(presented(subject).token);
        let told = self.take_back(what, self.clock.now(), subject.expires_at).await;
        let whose =
            Some(client.id.as_str()).filter(|_| self.revoked_token_takes == RevokedTokenTakes::Client);
        let withdrawn = self.withdraw(subject.user, whose).await;
        if told && withdrawn { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
    }

    /// Its entry goes, whatever token is there by now, and what that holds is revoked with the presented one.
    async fn revoke_partner_token(
        &self,
        client: &Client,
        issued: &Issued,
        token: TokenRef<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), ExchangeError> {
        // RFC 7009 §2.1: its own, though a client that exchanges for others need not be one whose home tokens it may present.
        if issued.client != client.id && !client.subject_clients.contain(&issued.client) {
            return Err(Denied::OtherClientsToken.into());
        }
        attempt.user = Some(issued.key.user);
        if let Some(partner) = self.definitions().partners.get(&issued.partner) {
            attempt.resolved_to(partner);
        }
        let entries = self.cache.entries(&issued.key.user).await;
        let told = self.cache.purge(&Purge::Entry(issued.key)).await;
        let kept = entries.iter().filter(|(key, _)| *key == issued.key).map(|(_, kept)| kept);
        let mut is_kept = false;
        for kept in kept {
            is_kept |= kept.access_token.digest() == token.digest();
            self.withdraw_at_partner(kept);
        }
        if !is_kept {
            let (token, Issued { client, partner, epoch, .. }) =
                (RevocableToken::Access(token.into()), issued);
            self.tell_partner(partner, *epoch, client, token);
        }
        if told { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
    }

    /// Signs a user or a session out: no token that was issued until then counts any more.
    ///
    /// # Errors
    /// Other replicas could not be told, and may accept such tokens until Redis is back.
    pub async fn log_out(&self, logout: &Logout, attempt: &mut Attempt) -> Result<(), ExchangeError> {
        let until = logout.at.plus(self.subject_tokens.longest_lifetime());
        let mut told = true;
        let mut users = match &logout.subject {
            Some(subject) => self.subject_tokens.users_named(subject),
            None => Vec::new(),
        };
        // The account by whose `sub` it is may go by another name in its tokens.
        let account = logout.subject.as_ref().and_then(|subject| self.subject_tokens.account_named(subject));
        for handle in [logout.session, account].into_iter().flatten() {
            told &= self.take_back(Revoked::Session(handle), logout.at, until).await;
            let user = self.user_of(handle).await;
            users.extend(user.filter(|user| !users.contains(user)));
        }
        attempt.user = users.first().copied();
        attempt.user_id = logout.subject.clone().filter(|_| self.names_users);
        for user in users {
            if logout.subject.is_some() {
                told &= self.take_back(Revoked::User(user), logout.at, until).await;
            }
            told &= self.withdraw(user, None).await;
        }
        if told { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
    }

    /// The user of a session, or of an account, that was seen here, or has obtained something anywhere.
    async fn user_of(&self, session: [u8; 8]) -> Option<[u8; 16]> {
        match self.subject_tokens.user_of(session) {
            Some(user) => Some(user),
            None => self.cache.user_of_session(session).await,
        }
    }

    /// Tokens that partners are still to be told of.
    pub fn revocations_pending(&self) -> usize {
        self.withdrawals.pending()
    }

    /// Waits until partners were told of all that was taken back, no longer than `patience`.
    pub async fn finish_revocations(&self, patience: Duration) {
        self.withdrawals.finish(patience).await;
    }

    async fn take_back(&self, what: Revoked, at: Timestamp, until: Timestamp) -> bool {
        // A token without an end is remembered as long as any can live.
        let longest = self.clock.now().plus(self.subject_tokens.longest_lifetime());
        self.cache.revoke(Revocation { what, at, until: until.min(longest) }).await
    }

    /// What was obtained for a user, by one client or by any, goes here and at the partners. False: other replicas, or Redis,
    /// could not be told.
    async fn withdraw(&self, user: [u8; 16], client: Option<&str>) -> bool {
        let mut entries = self.cache.entries(&user).await;
        let told = match client {
            None => self.cache.purge(&Purge::User(user)).await,
            Some(client) => {
                entries.retain(|(_, token)| token.issue.client == client);
                let mut told = true;
                for (key, _) in &entries {
                    told &= self.cache.purge(&Purge::Entry(*key)).await;
                }
                told
            }
        };
        for (_, token) in &entries {
            self.withdraw_at_partner(token);
        }
        told
    }

    fn withdraw_at_partner(&self, token: &CachedToken) {
        let access = Some(&token.access_token).filter(|_| self.clock.now() < token.expires_at);
        let further = token.further.iter();
        let refresh =
            further.flat_map(|further| further.kept_refresh_token.iter().chain(&further.refresh_token));
        let tokens = access.into_iter().cloned().map(RevocableToken::Access);
        for token_there in tokens.chain(refresh.cloned().map(RevocableToken::Refresh)) {
            self.tell_partner(&token.issue.partner, token.issue.epoch, &token.issue.client, token_there);
        }
    }

    /// By the definition under which it was obtained: that of today may name another server.
    fn tell_partner(&self, id: &str, epoch: [u8; 8], client: &str, token: RevocableToken) {
        let definitions = self.definitions();
        let of_today =
            definitions.partners.get(id).filter(|partner| partner.epoch.starts_with(&epoch)).cloned();
        match of_today.or_else(|| self.former.get(id, epoch)) {
            Some(partner) => self.withdrawals.begin(&partner, client, token),
            None => self.withdrawals.nobody_to_tell(id),
        }
    }
}
