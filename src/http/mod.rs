//! Outbound HTTP with every limit set: who calls an identity server calls it through here.

pub mod client;

pub use client::{Answer, HttpClient, HttpError, HttpSettings, SettingsError, is_loopback_url};
