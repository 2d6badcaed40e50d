//! What is wrong with a configuration, said so that the reader knows which line to change.

use std::fmt;

use serde::Serialize;

/// One fault or warning. Never carries a configured value: a secret typed into the wrong key must not reach a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file that states the key, `environment MCX_BROKER__...`, or `flag`.
    pub file: String,
    /// The dotted key, such as `home.client.secret` or `clients[1].id`; empty when the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        file: impl Into<String>,
        key: impl fmt::Display,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            file: printable(&file.into()),
            key: printable(&key.to_string()),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, key, problem, remedy } = self;
        if key.is_empty() {
            return write!(formatter, "{file}: {problem}: {remedy}");
        }
        write!(formatter, "{file}: {key}: {problem}: {remedy}")
    }
}

/// Every problem of a configuration at once, in the order in which the files were read. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(super) Vec<Problem>);

impl Problems {
    /// The problems, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Names come from files: line breaks and terminal sequences in them would forge other lines of the report.
pub(super) fn printable(text: &str) -> String {
    const LONGEST: usize = 200;
    let shown: String = text
        .chars()
        .take(LONGEST)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    if text.chars().nth(LONGEST).is_some() { shown + "..." } else { shown }
}
