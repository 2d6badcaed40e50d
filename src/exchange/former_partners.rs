//! Partners as they were defined before: what was obtained under an old definition is revoked at the server that issued it, also
//! when its file was changed, switched off or removed since. A definition that was edited must not let tokens outlive a logout.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::partner::{Partner, PartnerRegistry};

/// Beyond that the oldest is forgotten: a file that changes every minute must not fill the memory.
const MOST: usize = 256;

/// The oldest first.
#[derive(Debug, Default)]
pub(super) struct FormerPartners(Mutex<VecDeque<Arc<Partner>>>);

impl FormerPartners {
    /// Takes those of `before` whose tokens are served no more.
    pub(super) fn retire(&self, before: &PartnerRegistry, now: &PartnerRegistry) {
        let goes_on = |partner: &Partner| now.get(&partner.id).is_some_and(|it| it.epoch == partner.epoch);
        let mut former = self.former();
        for partner in before.iter().filter(|partner| !goes_on(partner)) {
            former.retain(|known| known.id != partner.id || known.epoch != partner.epoch);
            former.push_back(Arc::clone(partner));
        }
        let beyond = former.len().saturating_sub(MOST);
        former.drain(..beyond);
    }

    /// The one whose definition had an epoch that begins so.
    pub(super) fn get(&self, id: &str, epoch: [u8; 8]) -> Option<Arc<Partner>> {
        self.former().iter().find(|partner| partner.id == id && partner.epoch.starts_with(&epoch)).cloned()
    }

    fn former(&self) -> MutexGuard<'_, VecDeque<Arc<Partner>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
