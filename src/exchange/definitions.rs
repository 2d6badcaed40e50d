//! What the operator has written about callers, partners and users. Replaced as a whole when files change, so that no
//! request sees a part of the old and a part of the new.

use super::Rules;
use crate::client::ClientRegistry;
use crate::partner::PartnerRegistry;

/// One state of the files.
#[derive(Debug)]
pub struct Definitions {
    /// Who may call.
    pub clients: ClientRegistry,
    /// The second leg.
    pub partners: PartnerRegistry,
    /// What is demanded of users.
    pub rules: Rules,
}
