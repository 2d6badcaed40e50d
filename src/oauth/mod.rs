//! The wire vocabulary of OAuth 2.0 and MCX Connect: no I/O, no policy.

pub mod error;
pub mod form;
pub mod grant;
pub mod grant_type;
pub mod metadata;
pub mod refusal;
pub mod scope;
pub mod security_token;
pub mod token_response;
pub mod token_type;
