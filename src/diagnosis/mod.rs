//! From what an identity server said to what is probably wrong, and to the key that mends it.
//!
//! The same mistake carries different signals at different products, so the knowledge is a table, `src/diagnosis/causes.toml`, and no
//! code path knows a vendor. Nothing of what the server wrote leaves here: its description is matched, never shown, because it
//! may hold another user's data. Only which cause matched gets out.

mod signal;
mod table;

use std::fmt;

pub use signal::Seen;

/// A leg of the exchange, as the table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// At the home IdM (B.7.2, B.7.3).
    Home,
    /// At the partner IdM (B.7.4, B.7.5).
    Partner,
}

impl Leg {
    /// For people and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Partner => "partner",
        }
    }
}

/// What a cause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The way to the server: name, connection, TLS, metadata.
    Way,
    /// Its clock and ours.
    Clock,
    /// Our credentials and permissions there.
    Registration,
    /// What was asked for: target, types, scope.
    Target,
    /// The token that was presented.
    Token,
    /// Its user.
    User,
    /// What came back although nothing was refused.
    Answer,
    /// No row describes it.
    Unknown,
}

/// What is probably wrong. All of its texts come from the table: none is a stranger's.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable and unique.
    pub name: String,
    /// Where it shows.
    pub leg: Leg,
    /// What it is about.
    pub about: About,
    /// One sentence.
    pub cause: String,
    /// What to change; `None`: nothing in our files is wrong.
    pub key: Option<String>,
    /// What to do.
    pub remedy: String,
}

/// A file that an operator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The broker's own.
    Broker,
    /// That of the partner.
    Partner,
}

impl File {
    /// For people and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Partner => "partner",
        }
    }
}

/// Tables of the broker's file. None of a partner's has such a name.
const BROKER_TABLES: [&str; 12] = [
    "server", "admin", "log", "audit", "traces", "secrets", "partners", "home", "signing", "cache",
    "clients", "rules",
];

impl Cause {
    /// The file that has the key.
    pub fn file(&self) -> Option<File> {
        let table = self.key.as_deref()?.split('.').next()?;
        Some(if BROKER_TABLES.contains(&table) { File::Broker } else { File::Partner })
    }

    /// Whether a row describes what was seen, or none does.
    pub fn is_known(&self) -> bool {
        self.about != About::Unknown
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.cause)
    }
}

/// The most specific cause of what was seen. Where no row fits, the cause says so.
pub fn diagnose(seen: &Seen<'_>) -> &'static Cause {
    table::table().find(seen)
}

#[cfg(test)]
mod tests;
