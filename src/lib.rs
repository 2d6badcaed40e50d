//! Federated partner-IdM token exchange broker.
//!
//! An MCX client holds an access token of its home domain and needs one of a partner domain. TS 33.180 Annex B.7 has the
//! client do two token exchanges with two identity servers; the broker does both, once, for every client.
//!
//! The modules in the order in which one request meets them:
//!
//! 1. [`server`] listens, [`api::token`] parses the form.
//! 2. [`client`] authenticates the caller.
//! 3. [`home`] validates the subject token, so that nothing is done for somebody who is not a user of ours.
//! 4. [`partner::registry`] resolves `resource` and `audience`.
//! 5. [`exchange::policy`] decides, on every request, whether this client may have these scopes there.
//! 6. [`cache`] is asked under a key that no two users share ([`exchange::cache_key`]).
//! 7. On a miss all who ask for the same token share one acquisition: [`home::security_token`] obtains the security token (B.7.2, B.7.3) or mints it (B.8),
//!    [`partner::demands`] looks at it, and [`partner::grant`] trades it for the partner's token (B.7.4, B.7.5). Both
//!    legs call an [`idm`] through [`http`].
//! 8. [`api::token`] renders what is left of its life.
//!
//! What goes wrong on a leg is explained by [`diagnosis`].
//!
//! [`exchange::Exchange::token`] reads like that list. [`app`] wires it all from [`config`]; `cli` is what a person
//! types; `sandbox` is a stand-alone identity server for the demonstration and the tests.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")
)]

pub mod api;
pub mod app;
pub mod cache;
pub mod certificate;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod diagnosis;
pub mod exchange;
pub mod home;
pub mod http;
pub mod idm;
pub mod jose;
pub mod json;
pub mod oauth;
pub mod partner;
pub mod random;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod telemetry;
