//! Who calls us: registered clients and how they prove it.

pub mod assertion;
pub mod certificate;
pub mod credentials;
pub mod distinguished_name;
pub mod rate;
pub mod registry;

pub use certificate::{CertificateError, ClientCertificate, RegisteredName};
pub use credentials::{Credentials, CredentialsError};
pub use rate::RateLimit;
pub use registry::{Client, ClientAuthenticationMethod, ClientError, ClientRegistry, Names, Secrets};
