//! What is said of a request, as lines or as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::question::{Question, Told};
use crate::clock::Clock;
use crate::config::{Configuration, PartnerFile};
use crate::diagnosis::{Cause, File};
use crate::exchange::Products;
use crate::exchange::examination::{Examined, Finding, Key, Verdict};
use crate::telemetry::runbook::Runbook;

/// Everything that was found.
pub(super) struct Report {
    rows: Vec<Row>,
}

/// One check.
struct Row {
    check: &'static str,
    saw: String,
    answer: Answer,
    /// The file and the key in it that decide.
    decides: Option<(String, String)>,
}

enum Answer {
    Passes,
    Refused { code: &'static str, why: String, likely: Option<&'static Cause> },
    NotChecked(&'static str),
}

impl Report {
    pub(super) fn new(told: Told, question: &Question, configuration: &Configuration) -> Self {
        let examined = match told {
            Told::Explained(examined) => examined,
            Told::Unreadable(error) => {
                let answer = Answer::Refused { code: error.code(), why: error.to_string(), likely: None };
                let row = Row { check: "request", saw: String::new(), answer, decides: None };
                return Self { rows: vec![row] };
            }
        };
        let Examined { findings, partner } = examined;
        let partner = partner.map(|partner| partner.id.clone());
        let place = Place { configuration, client: &question.client, partner: partner.as_deref() };
        let rows = findings.into_iter().map(|finding| Row::new(finding, &place, question)).collect();
        Self { rows }
    }

    /// Whether nothing that was checked is refused.
    pub(super) fn is_granted(&self) -> bool {
        self.refusal().is_none()
    }

    /// The first is the answer.
    fn refusal(&self) -> Option<&'static str> {
        self.rows.iter().find_map(|row| match &row.answer {
            Answer::Refused { code, .. } => Some(*code),
            _ => None,
        })
    }

    fn unchecked(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.answer, Answer::NotChecked(_))).count()
    }

    pub(super) fn lines(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mark = match row.answer {
                Answer::Passes => "ok",
                Answer::Refused { .. } => "NO",
                Answer::NotChecked(_) => "?",
            };
            // Writing to a String cannot fail.
            let decided = match (&row.answer, &row.decides) {
                (Answer::Passes, Some((_, key))) => format!(" ({key})"),
                _ => String::new(),
            };
            let _ = writeln!(text, "{mark:<3} {:<24} {}{decided}", row.check, row.saw);
            let (why, likely) = match &row.answer {
                Answer::Passes => continue,
                Answer::Refused { code, why, likely } => (format!("{code}: {why}"), *likely),
                Answer::NotChecked(why) => (format!("not checked: {why}"), None),
            };
            let cause = likely.map(|likely| format!("likely: {}", likely.cause));
            let remedy = likely.map(|likely| format!("remedy: {}", likely.remedy));
            let decides = row.decides.as_ref().map(|(file, key)| format!("{file}: {key}"));
            for line in [Some(why), cause, decides, remedy].into_iter().flatten() {
                let _ = writeln!(text, "{:28} {line}", "");
            }
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let unchecked = match self.unchecked() {
            0 => String::new(),
            1 => "; 1 thing was not checked".to_owned(),
            many => format!("; {many} things were not checked"),
        };
        match self.refusal() {
            Some(code) => format!("\nRefused: {code}. What to do about it: {}", Runbook(code)),
            None if unchecked.is_empty() => "\nGranted".to_owned(),
            None => format!("\nNot refused{unchecked}"),
        }
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let (verdict, code, why, likely) = match &row.answer {
                Answer::Passes => ("passes", None, None, None),
                Answer::Refused { code, why, likely } => {
                    ("refused", Some(*code), Some(why.as_str()), *likely)
                }
                Answer::NotChecked(why) => ("not_checked", None, Some(*why), None),
            };
            let likely = likely
                .map(|likely| json!({ "name": likely.name, "cause": likely.cause, "remedy": likely.remedy }));
            let (file, key) = row.decides.as_ref().map(|(file, key)| (file, key)).unzip();
            json!({
                "check": row.check, "verdict": verdict, "code": code, "why": why, "saw": row.saw,
                "file": file, "key": key, "likely": likely,
            })
        });
        json!({
            "refused": !self.is_granted(),
            "code": self.refusal(),
            "not_checked": self.unchecked(),
            "checks": rows.collect::<Vec<_>>(),
        })
    }
}

/// Where the keys of one request stand.
struct Place<'c> {
    configuration: &'c Configuration,
    client: &'c str,
    partner: Option<&'c str>,
}

impl Row {
    fn new(finding: Finding, place: &Place<'_>, question: &Question) -> Self {
        let Finding { check, mut saw, verdict, key } = finding;
        let mut decides = place.of(&key);
        let answer = match verdict {
            Verdict::Passes => Answer::Passes,
            Verdict::NotChecked(why) => Answer::NotChecked(why),
            Verdict::Refused(error) => {
                let cause = error.explained(place.products(), Clock::system().now()).cause;
                let likely = Some(cause).filter(|cause| cause.is_known());
                // Of a leg it is not known before which of its keys decides; every other check names its own.
                if matches!(key, Key::Partner("security_token" | "grant")) {
                    decides = likely.and_then(|cause| place.of_cause(cause)).or(decides);
                }
                Answer::Refused { code: error.code(), why: error.to_string(), likely }
            }
        };
        if check == "target"
            && let (Answer::Refused { .. }, Some(file)) = (&answer, place.disabled(question))
        {
            saw.push_str("; that partner's file says enabled = false");
            decides = Some((file, "enabled".to_owned()));
        }
        Self { check, saw, answer, decides }
    }
}

impl Place<'_> {
    fn products(&self) -> Products<'_> {
        Products {
            home: self.configuration.home.preset.as_deref(),
            partner: self.partner().and_then(|partner| partner.preset.as_deref()),
        }
    }

    /// The key that the table of causes names.
    fn of_cause(&self, cause: &'static Cause) -> Option<(String, String)> {
        let file = match cause.file()? {
            File::Broker => self.configuration.broker_file(),
            File::Partner => self.partner_file(),
        };
        Some((file, cause.key.clone()?))
    }

    fn of(&self, key: &Key) -> Option<(String, String)> {
        let Configuration { clients, rules, .. } = self.configuration;
        let broker = || self.configuration.broker_file();
        match key {
            Key::Nothing => None,
            Key::Broker(key) => Some((broker(), (*key).to_owned())),
            Key::Client(key) => {
                let number = clients.iter().position(|client| client.id == self.client)?;
                Some((broker(), format!("clients[{number}].{key}")))
            }
            Key::Rule(name) => {
                let number = rules.iter().position(|rule| rule.name == *name)?;
                Some((broker(), format!("rules[{number}].require")))
            }
            Key::Partner(key) => Some((self.partner_file(), (*key).to_owned())),
        }
    }

    fn partner(&self) -> Option<&PartnerFile> {
        self.configuration.partners.iter().find(|partner| Some(partner.id.as_str()) == self.partner)
    }

    /// Without a partner it is a matter of which files there are.
    fn partner_file(&self) -> String {
        let path = self.partner().map(|partner| &partner.path);
        path.unwrap_or(&self.configuration.partners_directory).display().to_string()
    }

    /// The file of the disabled partner that is meant.
    fn disabled(&self, question: &Question) -> Option<String> {
        let named = |name: &String| {
            [&question.resource, &question.audience].into_iter().flatten().any(|asked| asked == name)
        };
        let disabled = self.configuration.partners.iter().filter(|partner| !partner.enabled);
        disabled
            .into_iter()
            .find(|partner| partner.domains.iter().chain([&partner.id, &partner.resource]).any(named))
            .map(|partner| partner.path.display().to_string())
    }
}
