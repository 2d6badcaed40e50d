//! Standard output and standard error. A reader that went away (`| head`) is an error to return, not a panic.

use std::io::{self, Write as _};

/// Writes one line, or several, to standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.write_all(b"\n")?;
    output.flush()
}

/// Writes to standard error. When that is gone there is nobody left to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
