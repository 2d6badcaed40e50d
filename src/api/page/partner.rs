//! One card for each partner; those that need somebody first.

use maud::{Markup, html};

use super::super::files::FileProblem;
use super::super::status::{GuardView, LastError, LegStatus, PartnerState, PartnerStatus, Status};
use super::layout::{Kind, state};
use super::{action, chart, text};
use crate::clock::Timestamp;
use crate::idm::BreakerState;

/// All partners.
pub(super) fn all(status: &Status, form_token: &str) -> Markup {
    let mut partners: Vec<&PartnerStatus> = status.partners.iter().collect();
    // By id among themselves, as they came.
    partners.sort_by_key(|partner| (!partner.needs_attention, partner.problems.is_empty()));
    html! {
        section aria-labelledby="partners-title" {
            h2 id="partners-title" { "Partners" }
            div id="partners" class="cards" {
                @for (number, partner) in partners.iter().enumerate() {
                    (card(partner, number, status.now, form_token))
                }
                @if partners.is_empty() {
                    p class="quiet" {
                        "There is no partner file. Write one to the directory of " code { "partners.directory" } "."
                    }
                }
            }
        }
    }
}

fn card(partner: &PartnerStatus, number: usize, now: Timestamp, form_token: &str) -> Markup {
    let id = if partner.id.is_empty() { format!("file-{number}") } else { format!("partner-{}", partner.id) };
    let name = match (partner.display_name.as_str(), partner.id.as_str()) {
        ("", "") => "A file whose name is no id",
        ("", id) => id,
        (name, _) => name,
    };
    html! {
        article id=(id) class="card" aria-labelledby=(format!("{id}-name")) {
            div id=(format!("{id}-now")) class="live" data-live {
                header {
                    h3 id=(format!("{id}-name")) { (name) }
                    (state_of(partner.state))
                    @if !partner.problems.is_empty() && partner.state != PartnerState::NotServed {
                        (state(Kind::Warn, "File not usable"))
                    }
                }
                p class="small quiet" {
                    code { (partner.id) }
                    @if let Some(resource) = &partner.resource { " at " code { (resource) } }
                }
                (problems(partner))
                @if let Some(error) = &partner.last_error { (last_error(error, now)) }
                @if partner.token.is_some() { (figures(partner)) }
            }
            @if partner.token.is_some() && partner.state != PartnerState::Disabled {
                (action::purge_partner(&partner.id, form_token))
            }
        }
    }
}

fn state_of(partner: PartnerState) -> Markup {
    match partner {
        PartnerState::Serving => state(Kind::Good, "Serving"),
        PartnerState::Failing => state(Kind::Bad, "Failing"),
        PartnerState::BreakerOpen => state(Kind::Bad, "Breaker open"),
        PartnerState::Disabled => state(Kind::Off, "Disabled"),
        PartnerState::NotServed => state(Kind::Bad, "Not served"),
    }
}

fn problems(partner: &PartnerStatus) -> Markup {
    let (class, meaning) = if partner.state == PartnerState::NotServed {
        ("note bad", "Its file cannot be used:")
    } else {
        ("note warn", "Its file cannot be used any more; what it said before goes on:")
    };
    html! {
        @if !partner.problems.is_empty() {
            div class=(class) { p { strong { (meaning) } } (list(&partner.problems)) }
        }
    }
}

/// What is wrong in files, each with its remedy.
pub(super) fn list(problems: &[FileProblem]) -> Markup {
    html! {
        ul {
            @for FileProblem { file, key, problem, remedy } in problems {
                li {
                    code { (file) }
                    @if !key.is_empty() { ": " code { (key) } }
                    " " (problem) ". To do: " (remedy) "."
                }
            }
        }
    }
}

fn last_error(last: &LastError, now: Timestamp) -> Markup {
    let error = &last.failure;
    let (class, what) = if last.lasts {
        ("note bad", "Last error, and nothing has worked on that leg since")
    } else {
        ("note off", "Last error; the leg has worked since")
    };
    html! {
        div class=(class) {
            p { strong { (what) } }
            p {
                code { (error.code) } " on the " (error.leg) " leg, " (text::ago(error.at, now)) "; "
                (text::counted(last.count, "time", "times")) " since the start."
                @if let Some(status) = error.status {
                    " The server answered " (status)
                    @if let Some(error) = &error.error { " " code { (error) } }
                    "."
                }
            }
            p { "Likely: " (text::quoted(error.cause.cause)) }
            p {
                "To do: " (text::quoted(error.cause.remedy))
                @if let Some(key) = error.cause.key {
                    " Key: " code { (key) }
                    @if let Some(file) = error.cause.file { " in the " (file) "'s file" }
                    "."
                }
            }
            p { a href=(error.runbook) { "Runbook: " (error.code) } }
        }
    }
}

fn figures(partner: &PartnerStatus) -> Markup {
    html! {
        (chart::hour(&partner.hour))
        table {
            caption { "Calls of the last 15 minutes" }
            thead { tr {
                th scope="col" { "Leg" }
                th scope="col" class="number" { "Calls" }
                th scope="col" class="number" { "p50" }
                th scope="col" class="number" { "p99" }
            } }
            tbody {
                (leg("Home: security token", partner.home_leg.as_ref()))
                (leg("Partner: access token", partner.partner_leg.as_ref()))
            }
        }
        dl class="facts" {
            div { dt { "Live tokens" } dd { (partner.live_tokens.map_or("unknown".to_owned(), text::count)) } }
            div { dt { "Hit rate" } dd { (partner.hit_rate.map_or_else(|| "–".to_owned(), text::percent)) } }
            div { dt { "Waiting" } dd { (text::count(partner.waiting)) } }
            @if let Some(token) = &partner.token { (guard(token)) }
        }
        @if let Some(revocation) = partner.revocation.as_ref().filter(|it| it.breaker != BreakerState::Closed) {
            p class="note warn" { "At its revocation endpoint the breaker is " (breaker(revocation)) ", with "
                (text::count(revocation.queued)) " calls waiting." }
        }
    }
}

fn leg(name: &str, leg: Option<&LegStatus>) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            @match leg {
                Some(leg) => {
                    td class="number" { (text::number(leg.calls)) }
                    td class="number" { (text::millis(leg.p50_ms)) }
                    td class="number" { (text::millis(leg.p99_ms)) }
                }
                None => {
                    td class="number" { "0" }
                    td class="number" { "–" }
                    td class="number" { "–" }
                }
            }
        }
    }
}

/// A circuit breaker, and what is under way.
pub(super) fn guard(guard: &GuardView) -> Markup {
    html! {
        div { dt { "In flight" } dd { (text::count(guard.in_flight)) } }
        div { dt { "Queued" } dd { (text::count(guard.queued)) } }
        div { dt { "Breaker" } dd { (breaker(guard)) } }
    }
}

fn breaker(guard: &GuardView) -> String {
    guard.breaker.as_str().replace('_', " ")
}
