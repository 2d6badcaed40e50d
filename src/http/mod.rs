//! Outbound HTTP with every limit set: who calls an identity server calls it through here.

pub mod client;
mod resolver;

pub use client::{Answer, HttpClient, HttpError, HttpSettings, SettingsError, leads_to_this_machine};
