//! Other identity domains: who they are, what they demand of a security token, and the grant that trades it for an access token.

pub mod definition;
pub mod demands;
pub mod grant;
pub mod history;
pub mod outcomes;
pub mod registry;
pub mod revocation;
pub mod waiting;

pub use definition::{Partner, ScopeMask, Scopes};
pub use demands::{Asked, Mismatch};
pub use grant::{Bearer, GrantError, PartnerToken, ResponseFault};
pub use history::{History, Latency, MINUTES, Minute, Quantiles};
pub use outcomes::{Failure, LastFailure, Outcome, Outcomes};
pub use registry::{PartnerRegistry, TargetError};
pub use revocation::RevocableToken;
pub use waiting::Waiting;
