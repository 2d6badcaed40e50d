//! One partner and the home domain without a broker around them: what the command that tests a partner calls them with.

use std::sync::Arc;

use super::Wiring;
use crate::clock::Clock;
use crate::config::{Configuration, PartnerFile, Problem};
use crate::home::{SecurityTokens, SigningKeys, SubjectTokens};
use crate::idm::Idm;
use crate::partner::Partner;
use crate::telemetry::metrics::Metrics;

/// Wired as the broker wires them. There is no cache: nothing that is tried with them is ever served to anybody.
#[derive(Debug)]
pub struct Probe {
    /// The home IdM.
    pub home: Arc<Idm>,
    /// Validates home tokens.
    pub subject_tokens: SubjectTokens,
    /// The first leg.
    pub security_tokens: SecurityTokens,
    /// The second.
    pub partner: Partner,
}

impl Probe {
    /// Calls nobody.
    ///
    /// # Errors
    /// Every key and certificate that cannot be used.
    pub fn wire(
        configuration: &Configuration,
        file: &PartnerFile,
        clock: &Clock,
    ) -> Result<Self, Vec<Problem>> {
        let mut wiring = Wiring::new(configuration, clock, Metrics::new());
        wiring.signing = wiring.signing_keys();
        let home = wiring.home_idm();
        let keys = home.as_ref().and_then(|idm| wiring.home_keys(idm));
        let partner = wiring.partner(file);
        let (Some(home), Some(keys), Some(partner), true) = (home, keys, partner, wiring.problems.is_empty())
        else {
            return Err(wiring.problems);
        };
        let signing = SigningKeys::new(&wiring.signing);
        Ok(Self {
            subject_tokens: wiring.subject_tokens(&home, keys),
            security_tokens: SecurityTokens::new(Arc::clone(&home), signing, clock.clone()),
            home,
            partner,
        })
    }
}
