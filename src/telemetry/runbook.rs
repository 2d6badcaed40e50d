//! Where operators read on: each warning and error names its entry in the runbook.

use std::fmt;

/// An entry of `docs/operations.md`, by its heading: a stable error code, or the name of an alert. A log field.
#[derive(Debug, Clone, Copy)]
pub struct Runbook<'c>(pub &'c str);

impl fmt::Display for Runbook<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Readers of Markdown make anchors of headings in small letters.
        write!(formatter, "docs/operations.md#{}", self.0.to_ascii_lowercase())
    }
}
