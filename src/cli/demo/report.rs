//! What the steps brought, for people or for programs.

use std::future::Future;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::mcx_client::TokenAnswer;
use crate::cli::output;
use crate::clock::Clock;

/// What a step brought.
pub(super) struct Shown<T> {
    /// For the next steps.
    pub(super) value: T,
    /// For people: one line.
    pub(super) text: String,
    /// For programs.
    pub(super) members: Map<String, Value>,
}

/// Prints each step as it ends.
pub(super) struct Report {
    json: bool,
    clock: Clock,
    failed: bool,
}

#[derive(Serialize)]
struct Line<'l> {
    step: &'l str,
    ok: bool,
    milliseconds: f64,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Report {
    pub(super) fn new(json: bool, clock: Clock) -> Self {
        Self { json, clock, failed: false }
    }

    /// For people only.
    pub(super) fn about(&self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    /// Carries a step out and prints it. `None`: it failed, and so has the demonstration.
    pub(super) async fn step<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = anyhow::Result<Shown<T>>>,
    ) -> io::Result<Option<T>> {
        let started = self.clock.monotonic();
        let outcome = step.await;
        let took = self.clock.monotonic().saturating_sub(started);
        let (value, text, members) = match outcome {
            Ok(shown) => (Some(shown.value), shown.text, shown.members),
            Err(error) => {
                let text = format!("{error:#}");
                let members = Map::from_iter([("error".to_owned(), json!(text))]);
                (None, text, members)
            }
        };
        self.failed |= value.is_none();
        let ok = value.is_some();
        output::line(&if self.json {
            let line = Line { step: name, ok, milliseconds: tenths(took), members };
            serde_json::to_string(&line)?
        } else {
            human(name, ok, took, &text)
        })?;
        Ok(value)
    }

    /// 0 only if every step held.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn human(name: &str, ok: bool, took: Duration, text: &str) -> String {
    let verdict = if ok { "ok" } else { "FAILED" };
    format!("  {verdict:<6}  {:<16} {:>8.1} ms  {text}", name.replace('_', " "), tenths(took))
}

/// Milliseconds, to a tenth.
fn tenths(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

/// A token response with its tokens shortened, for people and programs to look at.
pub(super) fn shortened_members(answer: &TokenAnswer) -> Map<String, Value> {
    let shown = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::String(token) if is_token(name) => json!(shortened(token)),
            other => other.clone(),
        };
        (name.clone(), value)
    };
    answer.0.iter().map(shown).collect()
}

fn is_token(member: &str) -> bool {
    matches!(member, "access_token" | "refresh_token" | "id_token")
}

/// Enough of a token to tell it from another, not enough to use it.
pub(super) fn shortened(token: &str) -> String {
    token.chars().take(12).collect::<String>() + "..."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_shown_shortened_and_everything_else_in_full() {
        let answer = json!({
            "access_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "refresh_token": "short", "id_token": "eyJ0eXAiOiJKV1QifQ.e30.",
            "expires_in": 60, "scope": "openid",
        });
        let expected = json!({
            "access_token": "eyJhbGciOiJS...", "refresh_token": "short...", "id_token": "eyJ0eXAiOiJK...",
            "expires_in": 60, "scope": "openid",
        });
        let answer = TokenAnswer(answer.as_object().unwrap().clone());
        assert_eq!(Value::Object(shortened_members(&answer)), expected);
    }

    #[test]
    fn a_line_says_step_verdict_and_time_first() {
        assert_eq!(
            human("cold_exchange", true, Duration::from_micros(12_345), "two legs"),
            "  ok      cold exchange        12.3 ms  two legs"
        );
        let members = Map::from_iter([("scope".to_owned(), json!("openid"))]);
        let line = Line { step: "login", ok: false, milliseconds: 1.5, members };
        let expected = r#"{"step":"login","ok":false,"milliseconds":1.5,"scope":"openid"}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
    }
}
