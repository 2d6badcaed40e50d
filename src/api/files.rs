//! What the configuration's files say, as far as operators are shown it: what is wrong with them, and how old keys and
//! certificates are. Whoever reads the files replaces it.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::partner::Partner;

/// The files as they were last read; clones see the same.
pub type FilesRead = Arc<ArcSwap<Files>>;

/// One reading of the files.
#[derive(Debug, Clone)]
pub struct Files {
    /// When they were read.
    pub read_at: Timestamp,
    /// What is wrong with the broker's own files. What they said before goes on.
    pub problems: Vec<FileProblem>,
    /// Sections that changed, and count from the next start on.
    pub restart: Vec<&'static str>,
    /// By id.
    pub partners: Vec<ListedPartner>,
    /// That end.
    pub certificates: Vec<Certificate>,
    /// Of our own.
    pub keys: Vec<Key>,
}

/// A partner that has a file, or is served though its file cannot be used.
#[derive(Debug, Clone)]
pub struct ListedPartner {
    /// The file's stem; empty: the file's name is no id.
    pub id: String,
    /// As it was last usable, disabled ones too; `None`: it never was.
    pub partner: Option<Arc<Partner>>,
    /// What is wrong with its file now.
    pub problems: Vec<FileProblem>,
}

/// What is wrong in a file. Never carries a configured value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileProblem {
    /// Which one.
    pub file: String,
    /// The dotted key; empty: the whole file.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

/// A certificate of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Where the configuration names it.
    pub named_in: String,
    /// When it ends; `None`: it cannot be read.
    pub ends: Option<Timestamp>,
}

/// A key of ours. Nothing of the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where the configuration names it.
    pub named_in: String,
    /// `kid` and algorithm of a signing key.
    pub name: Option<String>,
    /// When its file was written last; `None`: there is no such file, or no such time.
    pub written: Option<Timestamp>,
}

impl fmt::Display for FileProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, key, problem, remedy } = self;
        if key.is_empty() {
            return write!(formatter, "{file}: {problem}: {remedy}");
        }
        write!(formatter, "{file}: {key}: {problem}: {remedy}")
    }
}

/// As lines of text.
pub(super) fn lines<S: Serializer>(problems: &[FileProblem], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(problems.iter().map(ToString::to_string))
}
