//! What a failed leg probably means, for people: [`crate::diagnosis`] on what an [`ExchangeError`] knows.

use super::{ExchangeError, Leg};
use crate::clock::Timestamp;
use crate::diagnosis::{self, Seen};
use crate::home::{SecurityTokenError, SubjectTokenError};
use crate::idm::IdmError;
use crate::oauth::refusal::Refusal;
use crate::partner::{Failure, GrantError};

/// The presets that the files name for the two identity servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Products<'p> {
    /// `home.preset`.
    pub home: Option<&'p str>,
    /// `preset` of the partner's file.
    pub partner: Option<&'p str>,
}

impl ExchangeError {
    /// This failure with its probable cause. What the broker itself could not do, such as to mint, belongs to the first leg.
    pub fn explained(&self, products: Products<'_>, at: Timestamp) -> Failure {
        self.explained_knowing("", products, at)
    }

    /// The same for who knows more than the answer says: `more` is looked up in the table beside the error's own words.
    pub fn explained_knowing(&self, more: &str, products: Products<'_>, at: Timestamp) -> Failure {
        let (leg, product) = match self.leg() {
            Leg::Partner => (diagnosis::Leg::Partner, products.partner),
            Leg::Home | Leg::Broker => (diagnosis::Leg::Home, products.home),
        };
        let (code, refusal, reason) = (self.code(), self.refusal(), format!("{self} {more}"));
        let status = match self.idm() {
            Some(IdmError::Unavailable { status, .. }) => Some(*status),
            _ => refusal.map(|refusal| refusal.status),
        };
        let seen = Seen::new(leg, product, code).refused(refusal).because(&reason);
        let error = refusal.map(|refusal| refusal.error.clone());
        Failure { leg, code, status, error, cause: diagnosis::diagnose(&seen), at }
    }

    /// Whether it only follows from what was before it: that the server is left alone explains nothing.
    pub(super) fn is_aftermath(&self) -> bool {
        matches!(self, Self::TooManyWaiting)
            || matches!(
                self.idm(),
                Some(IdmError::Paused(_) | IdmError::AskedJustNow(_) | IdmError::Overloaded)
            )
    }

    /// The OAuth error response, if it was one.
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::SecurityToken(
                SecurityTokenError::SubjectRefused(refusal)
                | SecurityTokenError::Idm(IdmError::Refused(refusal)),
            )
            | Self::Grant(
                GrantError::UserRefused(refusal)
                | GrantError::ScopeRefused(refusal)
                | GrantError::CredentialsRefused(refusal)
                | GrantError::Idm(IdmError::Refused(refusal)),
            )
            | Self::SubjectToken(SubjectTokenError::Home(IdmError::Refused(refusal))) => Some(refusal),
            _ => None,
        }
    }
}
