//! Outbound HTTP with every limit set: who calls an identity server calls it through here.

pub mod client;
mod collector;
pub mod reach;
mod resolver;
mod site;

use client::leads_to_this_machine;
pub use client::{Answer, HttpClient, HttpError, HttpSettings, SettingsError};
pub use collector::Collector;
pub use reach::{ConnectFault, Reach, Shown};
pub use resolver::Resolver;
pub use site::{is_at, is_same_site};
