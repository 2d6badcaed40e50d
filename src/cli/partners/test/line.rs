//! One line of what `partners test` says, and all of them.

use std::io;

use serde_json::{Value, json};

use crate::cli::mcx_client::printable;
use crate::cli::output;
use crate::diagnosis::{Cause, File, Leg};
use crate::partner::Failure;
use crate::telemetry::runbook::Runbook;

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It held.
    Ok,
    /// It works, and may not for long, or not for everybody.
    Warning,
    /// It does not work.
    Failed,
    /// It was not tried.
    Skipped,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    const fn for_people(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            other => other.as_str(),
        }
    }
}

/// What is probably wrong, with the broker's stable code where there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Finding {
    pub(super) code: Option<&'static str>,
    pub(super) cause: &'static Cause,
}

impl From<Failure> for Finding {
    fn from(failure: Failure) -> Self {
        Self { code: Some(failure.code), cause: failure.cause }
    }
}

/// One check.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) leg: Leg,
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was done.
    pub(super) tried: String,
    /// What came back. Never a token.
    pub(super) got: String,
    pub(super) finding: Option<Finding>,
}

impl Line {
    /// A stranger's words are in both texts (URLs, names of certificates, answers): control characters in them would
    /// forge lines of this report, or clear the operator's screen.
    pub(super) fn new(
        leg: Leg,
        check: &'static str,
        verdict: Verdict,
        tried: impl AsRef<str>,
        got: impl AsRef<str>,
    ) -> Self {
        let (tried, got) = (printable(tried.as_ref()), printable(got.as_ref()));
        Self { leg, check, verdict, tried, got, finding: None }
    }

    /// With what is probably wrong.
    pub(super) fn because(self, finding: impl Into<Finding>) -> Self {
        Self { finding: Some(finding.into()), ..self }
    }
}

/// All lines, printed as they come for people, and as one object for programs.
#[derive(Debug)]
pub(in crate::cli) struct Report {
    json: bool,
    partner: String,
    broker_file: String,
    partner_file: String,
    lines: Vec<Line>,
}

impl Report {
    pub(super) const fn new(json: bool, partner: String, broker_file: String, partner_file: String) -> Self {
        Self { json, partner, broker_file, partner_file, lines: Vec::new() }
    }

    /// For people only.
    pub(super) fn about(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    /// Adds a line; whether what comes after it makes sense.
    pub(super) fn add(&mut self, line: Line) -> io::Result<bool> {
        if !self.json {
            output::line(&self.text(&line))?;
        }
        let goes_on = matches!(line.verdict, Verdict::Ok | Verdict::Warning);
        self.lines.push(line);
        Ok(goes_on)
    }

    /// Whether all held.
    pub(in crate::cli) fn held(&self) -> bool {
        self.lines.iter().all(|line| line.verdict != Verdict::Failed)
    }

    /// The last words, for people.
    pub(in crate::cli) fn summary(&self) -> String {
        let count = |verdict| self.lines.iter().filter(|line| line.verdict == verdict).count();
        let (failed, warnings) = (count(Verdict::Failed), count(Verdict::Warning));
        let (held, skipped) = (count(Verdict::Ok), count(Verdict::Skipped));
        let plural = if warnings == 1 { "" } else { "s" };
        format!("{held} ok, {warnings} warning{plural}, {failed} failed, {skipped} skipped")
    }

    fn file(&self, file: File) -> &str {
        match file {
            File::Broker => &self.broker_file,
            File::Partner => &self.partner_file,
        }
    }

    fn text(&self, line: &Line) -> String {
        let Line { leg, check, verdict, tried, got, finding } = line;
        let text = format!("{:<8} {check:<14} {:<8} {got}", leg.as_str(), verdict.for_people());
        let Some(Finding { cause, .. }) = finding else { return text };
        let change = cause.key.as_ref().zip(cause.file());
        let change = change.map(|(key, file)| format!("{key} in {}", self.file(file)));
        let more = [
            ("tried", Some(tried)),
            ("likely", Some(&cause.cause)),
            ("change", change.as_ref()),
            ("remedy", Some(&cause.remedy)),
        ];
        let more = more.into_iter().filter_map(|(name, value)| Some(format!("{name:>32}  {}", value?)));
        std::iter::once(text).chain(more).collect::<Vec<_>>().join("\n")
    }

    /// All of it, for programs.
    pub(in crate::cli) fn value(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(|line| self.line_value(line)).collect();
        json!({ "partner": self.partner, "ok": self.held(), "checks": lines })
    }

    fn line_value(&self, line: &Line) -> Value {
        let finding = line.finding.map(|Finding { code, cause }| {
            json!({
                "name": cause.name,
                "cause": cause.cause,
                "file": cause.file().map(|file| self.file(file)),
                "key": cause.key,
                "remedy": cause.remedy,
                "code": code,
                "runbook": code.map(|code| Runbook(code).to_string()),
            })
        });
        json!({
            "leg": line.leg.as_str(),
            "check": line.check,
            "verdict": line.verdict.as_str(),
            "tried": line.tried,
            "got": line.got,
            "likely": finding,
        })
    }
}
