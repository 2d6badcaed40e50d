//! What no flag says is asked on a terminal; where there is none, it is said which flags are missing.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::Obstacle;

/// Longer than any id, secret's path or client id.
const LONGEST: u64 = 4096;

/// Asks, as long as somebody can answer.
#[derive(Debug)]
pub(super) struct Answers {
    asks: bool,
    missing: Vec<&'static str>,
}

impl Answers {
    /// `allowed`: no flag forbids to ask.
    pub(super) fn new(allowed: bool) -> Self {
        Self { asks: allowed && io::stdin().is_terminal(), missing: Vec::new() }
    }

    /// What a flag states, else what somebody answers, else the default. None of them: the flag is missing.
    pub(super) fn answer(
        &mut self,
        flag: &'static str,
        what: &str,
        stated: Option<String>,
        default: Option<String>,
    ) -> io::Result<Option<String>> {
        if stated.is_some() {
            return Ok(stated);
        }
        let answer = if self.asks { ask(what, default.as_deref())? } else { None };
        let value = answer.or(default);
        if value.is_none() {
            self.missing.push(flag);
        }
        Ok(value)
    }

    /// What to say when something is missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = Obstacle> {
        let why = if self.asks { "was left empty" } else { "is missing, and there is no terminal to ask on" };
        let obstacle = move |flag: &&str| Obstacle {
            problem: format!("{flag} {why}"),
            likely: None,
            remedy: "state it: partners add --help says what it is".into(),
        };
        self.missing.iter().map(obstacle)
    }
}

fn ask(what: &str, default: Option<&str>) -> io::Result<Option<String>> {
    let mut terminal = io::stderr().lock();
    match default {
        Some(default) if !default.is_empty() => write!(terminal, "{what} [{default}]: ")?,
        _ => write!(terminal, "{what}: ")?,
    }
    terminal.flush()?;
    let mut answer = String::new();
    io::Read::take(io::stdin().lock(), LONGEST).read_line(&mut answer)?;
    let answer = answer.trim();
    Ok((!answer.is_empty()).then(|| answer.to_owned()))
}
