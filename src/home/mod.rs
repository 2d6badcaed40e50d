//! Our identity domain: who the user is (the subject token), and the security token that vouches for them elsewhere.

pub mod acceptance;
pub mod delegation;
pub mod examination;
pub mod introspection;
pub mod keys;
pub mod logout_token;
mod remembered;
pub mod security_token;
pub mod subject_token;

pub use acceptance::{NamedIn, SubjectTokenSettings};
pub use delegation::{ActorToken, Delegation};
pub use examination::{Examination, TokenCheck};
pub use introspection::{IntrospectionMode, Introspector};
pub use keys::{HomeKeys, KeySetState, RemoteKeys};
pub use logout_token::{Logout, LogoutTokenError, LogoutTokenSettings, LogoutTokens};
pub use security_token::{
    SecurityTokenError, SecurityTokenRequest, SecurityTokens, SigningKeys, check_response,
};
pub use subject_token::{Signature, Subject, SubjectTokenError, SubjectTokens, User};
