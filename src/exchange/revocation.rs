//! What the home domain takes back: a home token that its client gives up (RFC 7009), a user or a session that the home IdM
//! signs out (OpenID Connect Back-Channel Logout). Nothing that was obtained with it is served any more, by any replica.

use super::attempt::Attempt;
use super::deadline::Deadline;
use super::error::Fault;
use super::{Exchange, ExchangeError, Leg, policy, presented};
use crate::cache::{Purge, Revocation, Revoked};
use crate::client::Credentials;
use crate::clock::Timestamp;
use crate::home::Logout;
use crate::secret::TokenRef;

impl Exchange {
    /// Takes a home token back, and all that was obtained with its user. One that is no (or no longer a) home token is none
    /// to take back, which is what was asked for (RFC 7009 §2.2).
    ///
    /// # Errors
    /// The caller is not who it says, or the token is another client's; the home IdM is needed to tell and away; other
    /// replicas could not be told, and may accept the token until Redis is back.
    pub async fn revoke(
        &self,
        credentials: &Credentials<'_>,
        token: TokenRef<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), ExchangeError> {
        let client = self.clients.authenticate(credentials)?;
        attempt.authenticated_as(client);
        client.admit().map_err(|wait| ExchangeError::TooManyRequests { wait })?;
        let deadline = Deadline::after(attempt.started, self.timeout, &self.clock);
        let validation = Box::pin(self.subject_tokens.validate(token));
        let subject = match deadline.wait(Leg::Home, validation).await {
            Ok(subject) => subject,
            Err(error) if error.fault() == Fault::Caller => return Ok(()),
            Err(error) => return Err(error),
        };
        policy::may_present(client, &subject)?;
        attempt.user = Some(subject.user);
        attempt.subject_token = Some(subject.digest);
        let what = Revoked::Token(presented(&subject).token);
        let told = self.take_back(what, self.clock.now(), subject.expires_at).await;
        let purged = self.cache.purge(&Purge::User(subject.user)).await;
        if told && purged { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
    }

    /// Signs a user or a session out: no token that was issued until then counts any more.
    ///
    /// # Errors
    /// Other replicas could not be told, and may accept such tokens until Redis is back.
    pub async fn log_out(&self, logout: &Logout, attempt: &mut Attempt) -> Result<(), ExchangeError> {
        let until = logout.at.plus(self.subject_tokens.longest_lifetime());
        let mut told = true;
        if let Some(session) = logout.session {
            told &= self.take_back(Revoked::Session(session), logout.at, until).await;
        }
        let users = match &logout.subject {
            Some(subject) => self.subject_tokens.users_named(subject),
            None => logout.session.and_then(|it| self.subject_tokens.user_of(it)).into_iter().collect(),
        };
        attempt.user = users.first().copied();
        for user in users {
            if logout.subject.is_some() {
                told &= self.take_back(Revoked::User(user), logout.at, until).await;
            }
            told &= self.cache.purge(&Purge::User(user)).await;
        }
        if told { Ok(()) } else { Err(ExchangeError::ReplicasNotTold) }
    }

    async fn take_back(&self, what: Revoked, at: Timestamp, until: Timestamp) -> bool {
        // A token without an end is remembered as long as any can live.
        let longest = self.clock.now().plus(self.subject_tokens.longest_lifetime());
        self.cache.revoke(Revocation { what, at, until: until.min(longest) }).await
    }
}
