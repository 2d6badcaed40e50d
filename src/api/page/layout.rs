//! What all pages have around them.

use std::time::Duration;

use maud::{DOCTYPE, Markup, html};

use super::super::status::{Status, written};
use super::text;

/// A page that says how it stands now, and goes on saying it.
pub(super) fn live(status: &Status, main: &Markup) -> Markup {
    let failing = status.to_look_at();
    let title = if failing > 0 { format!("({failing}) Token broker") } else { "Token broker".to_owned() };
    let uptime = text::duration(Duration::from_secs(status.uptime_seconds));
    let about = html! {
        p id="now" data-live class="small quiet" {
            "Version " (status.version) ", up for " (uptime) ", as of "
            time datetime=(written(status.now)) { (text::moment(status.now)) } "."
        }
        p id="live" class="small quiet" role="status" {}
    };
    let nav = html! {
        nav aria-label="Page" {
            a href="/" { "Load again" }
            a href="/runbook" { "Runbook" }
            a href="/api/status" { "JSON" }
            button id="pause" type="button" hidden { "Pause updates" }
        }
    };
    document(&title, true, &about, &nav, main)
}

/// A page that says one thing.
pub(super) fn plain(title: &str, content: &Markup) -> Markup {
    still(title, &html! { h2 { (title) } (content) })
}

/// A page to be read.
pub(super) fn still(title: &str, content: &Markup) -> Markup {
    let nav = html! { nav aria-label="Page" { a href="/" { "Status" } a href="/runbook" { "Runbook" } } };
    document(title, false, &html! {}, &nav, &html! { section class="prose" { (content) } })
}

fn document(title: &str, with_script: bool, about: &Markup, nav: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/style.css";
                @if with_script { script src="/script.js" defer {} }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header class="top" { div class="page" { div { h1 { "MCX token broker" } (about) } (nav) } }
                main id="main" class="page" tabindex="-1" { (main) }
            }
        }
    }
}

/// How something does: never by colour alone.
pub(super) fn state(kind: Kind, text: &str) -> Markup {
    let (class, sign) = match kind {
        Kind::Good => ("state good", "✓"),
        Kind::Warn => ("state warn", "!"),
        Kind::Bad => ("state bad", "✕"),
        Kind::Off => ("state off", "–"),
    };
    html! { span class=(class) { span aria-hidden="true" { (sign) } (text) } }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    Warn,
    Bad,
    Off,
}
