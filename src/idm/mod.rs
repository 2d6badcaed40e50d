//! An identity server as its client sees it: where its endpoints are, how we authenticate there, and one token request.
//! Both legs go through here: the home IdM (B.7.2) and every partner IdM (B.7.4).

pub mod client_authentication;
pub mod endpoints;
pub mod error;
pub mod guard;
mod survey;
pub mod token_endpoint;

pub use client_authentication::{
    AssertionAudience, ClientAuthentication, ClientRegistration, SecretEncoding, basic,
};
pub use endpoints::{EndpointSettings, Endpoints, Published, discover};
pub use error::IdmError;
pub use guard::{
    BreakerSettings, BreakerState, BulkheadSettings, Guard, GuardSettings, GuardStatus, Retries,
};
pub use token_endpoint::{Idm, Parameters};
