//! The table of causes, embedded, read once.

use std::sync::LazyLock;

use serde::Deserialize;

use super::signal::{Fit, Signal};
use super::{About, Cause, Leg, Seen};

const TEXT: &str = include_str!("causes.toml");

/// All causes with their signals.
pub(super) struct Table {
    pub(super) rows: Vec<(Cause, Vec<Signal>)>,
    not_known: [Cause; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    cause: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    leg: Leg,
    about: About,
    cause: String,
    #[serde(default)]
    key: Option<String>,
    remedy: String,
    signals: Vec<Signal>,
}

/// A test reads it: it is never malformed here. If it were, nothing would be known, and that would be said.
pub(super) fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::parse(TEXT).unwrap_or_else(|_| Table::empty()));
    &TABLE
}

impl Table {
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let document: Document = toml::from_str(text)?;
        let rows = document.cause.into_iter().map(|row| {
            let Row { name, leg, about, cause, key, remedy, signals } = row;
            (Cause { name, leg, about, cause, key, remedy }, signals)
        });
        Ok(Self { rows: rows.collect(), ..Self::empty() })
    }

    fn empty() -> Self {
        let not_known = [Leg::Home, Leg::Partner].map(|leg| Cause {
            name: format!("{}_not_known", leg.as_str()),
            leg,
            about: About::Unknown,
            cause: format!("Not known: no row of the table of causes describes what the {} IdM said.", leg.as_str()),
            key: None,
            remedy: "Look at that server's log at that time; tell the developers of the broker what it says there."
                .to_owned(),
        });
        Self { rows: Vec::new(), not_known }
    }

    /// The first of the most specific.
    pub(super) fn find(&self, seen: &Seen<'_>) -> &Cause {
        let mut best: Option<(Fit, &Cause)> = None;
        for (cause, signals) in self.rows.iter().filter(|(cause, _)| cause.leg == seen.leg) {
            let fit = signals.iter().filter_map(|signal| signal.fit(seen)).max();
            if let Some(fit) = fit.filter(|fit| best.is_none_or(|(known, _)| *fit > known)) {
                best = Some((fit, cause));
            }
        }
        best.map_or(&self.not_known[usize::from(seen.leg == Leg::Partner)], |(_, cause)| cause)
    }
}
