//! Federated partner-IdM token exchange broker.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")
)]

pub mod api;
pub mod app;
pub mod cache;
pub mod client;
pub mod clock;
pub mod config;
pub mod exchange;
pub mod home;
pub mod http;
pub mod idm;
pub mod jose;
pub mod oauth;
pub mod partner;
pub mod random;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod secret;
pub mod server;
pub mod telemetry;
