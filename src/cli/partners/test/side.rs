//! One of the two identity servers, as the checks that both have in common see it.

use crate::clock::{Clock, Timestamp};
use crate::diagnosis::{self, Leg, Seen};
use crate::exchange::{ExchangeError, Products};
use crate::home::SecurityTokenError;
use crate::idm::{Idm, IdmError};
use crate::partner::{Failure, GrantError};

use super::line::Finding;

/// The home IdM or the partner's.
#[derive(Debug, Clone)]
pub(super) struct Side<'s> {
    pub(super) leg: Leg,
    pub(super) idm: &'s Idm,
    /// The grant that the files have us use there; `None`: no token is asked for.
    pub(super) grant: Option<&'static str>,
    pub(super) products: Products<'s>,
    pub(super) clock: Clock,
}

impl Side<'_> {
    /// What a failed call means.
    pub(super) fn explained(&self, error: IdmError) -> Failure {
        let error = match self.leg {
            Leg::Home => ExchangeError::SecurityToken(SecurityTokenError::Idm(error)),
            Leg::Partner => ExchangeError::Grant(GrantError::Idm(error)),
        };
        error.explained(self.products, self.now())
    }

    /// What the broker's own words mean. `home`, `partner`: the stable code on that leg; empty: none.
    pub(super) fn finding(&self, home: &'static str, partner: &'static str, reason: &str) -> Finding {
        let (code, product) = match self.leg {
            Leg::Home => (home, self.products.home),
            Leg::Partner => (partner, self.products.partner),
        };
        let cause = diagnosis::diagnose(&Seen::new(self.leg, product, code).because(reason));
        Finding { code: (!code.is_empty()).then_some(code), cause }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// As whom, and how.
    pub(super) fn client(&self) -> String {
        match self.idm.client_id().zip(self.idm.authentication_method()) {
            Some((id, method)) => format!("{id} by {method}"),
            None => "no client at all".to_owned(),
        }
    }
}
