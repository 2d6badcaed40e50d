//! What is not of one partner.

use maud::{Markup, html};

use super::super::status::{CertificateStatus, HomeStatus, KeyStatus, RedisState, Status};
use super::layout::{Kind, state};
use super::partner::{guard, list};
use super::text;
use crate::clock::Timestamp;

/// A certificate that ends sooner is shown as a warning, and one that ends much sooner as a fault.
const SOON_DAYS: u64 = 30;
const VERY_SOON_DAYS: u64 = 7;

/// The whole in a few numbers.
pub(super) fn tiles(status: &Status) -> Markup {
    let hour = status.hour();
    let failing = status.to_look_at();
    html! {
        section id="overview" data-live aria-label="Overview" {
            dl class="tiles" {
                div { dt { "Requests, last hour" } dd { (text::number(hour.requests())) }
                    dd class="small" { (text::number(hour.failed)) " failed" } }
                div { dt { "From the cache" } dd { (hour.hit_rate().map_or_else(|| "–".to_owned(), text::percent)) }
                    dd class="small" { "of those that got a token" } }
                div { dt { "Partners" } dd { (text::count(status.partners.len())) }
                    dd class="small" {
                        @if failing > 0 { (state(Kind::Bad, &format!("{failing} to look at"))) } @else { (state(Kind::Good, "All well")) }
                    } }
                div { dt { "Home IdM" } dd { @if status.home.ok { "Usable" } @else { "Failing" } }
                    dd class="small" { (home_state(&status.home)) } }
                div { dt { "Redis" } dd { (redis_word(status.redis.state)) }
                    dd class="small" { (redis_state(status)) } }
                div { dt { "Files" } dd { @if status.configuration.ok { "Usable" } @else { "Faulty" } }
                    dd class="small" { (files_state(status)) } }
                div { dt { "Requests are" } dd { @if status.ready { "Accepted" } @else { "Refused" } }
                    dd class="small" { (text::count(status.acquisitions)) " tokens being obtained" } }
            }
        }
    }
}

/// Home IdM, tiers, files, keys.
pub(super) fn sections(status: &Status) -> Markup {
    html! {
        section aria-labelledby="broker-title" {
            h2 id="broker-title" { "Broker" }
            div class="cards" {
                (home(&status.home, status.now))
                (tiers(status))
                (files(status))
                (keys(status))
            }
        }
    }
}

fn home_state(home: &HomeStatus) -> Markup {
    if home.ok { state(Kind::Good, "No fault") } else { state(Kind::Bad, "See below") }
}

const fn redis_word(redis: RedisState) -> &'static str {
    match redis {
        RedisState::Off => "Off",
        RedisState::Connected => "Connected",
        RedisState::Away => "Away",
    }
}

fn redis_state(status: &Status) -> Markup {
    match (status.redis.state, status.redis.listening) {
        (RedisState::Off, _) => state(Kind::Off, "Not used"),
        (RedisState::Connected, true) => state(Kind::Good, "Replicas heard"),
        (RedisState::Connected, false) => state(Kind::Warn, "Replicas not heard"),
        (RedisState::Away, _) => state(Kind::Bad, "Does not answer"),
    }
}

fn files_state(status: &Status) -> Markup {
    if !status.configuration.ok {
        state(Kind::Bad, "See below")
    } else if status.configuration.restart.is_empty() {
        state(Kind::Good, "In force")
    } else {
        state(Kind::Warn, "Restart needed")
    }
}

fn home(home: &HomeStatus, now: Timestamp) -> Markup {
    html! {
        article class="card" aria-labelledby="home-title" {
            h3 id="home-title" { "Home identity server" }
            div id="home-now" class="live" data-live {
                @if !home.ok { p { (state(Kind::Bad, "Failing")) } }
                @if let Some(failure) = &home.keys.failure {
                    p class="note bad" { "Its keys could not be fetched: " (failure) "." }
                }
                dl class="facts" {
                    (guard(&home.token))
                    div {
                        dt { "Keys" }
                        dd { (text::count(home.keys.count)) @if home.keys.source == "file" { " from a file" } }
                    }
                    @if let Some(fetched) = home.keys.fetched { div { dt { "Fetched" } dd { (text::ago(fetched, now)) } } }
                }
                @if let Some(introspection) = &home.introspection {
                    p class="small quiet" { "Introspection" }
                    dl class="facts" { (guard(introspection)) }
                }
            }
        }
    }
}

fn tiers(status: &Status) -> Markup {
    html! {
        article class="card" aria-labelledby="tiers-title" {
            h3 id="tiers-title" { "Redis and memory" }
            div id="tiers-now" class="live" data-live {
                dl class="rows" {
                    div { dt { "Redis" } dd { (redis_state(status)) } }
                    div { dt { "Revocations to tell partners of" } dd { (text::count(status.revocations_pending)) } }
                    div { dt { "Users with tokens in memory" } dd { (text::count(status.memory.users)) } }
                    div { dt { "Memory for tokens" } dd { (text::bytes(status.memory.bytes)) } }
                }
            }
        }
    }
}

fn files(status: &Status) -> Markup {
    let files = &status.configuration;
    html! {
        article class="card" aria-labelledby="files-title" {
            h3 id="files-title" { "Configuration files" }
            div id="files-now" class="live" data-live {
                p { "Last read " (text::ago(files.read, status.now)) ". "
                    @if files.ok { (state(Kind::Good, "All usable")) } @else { (state(Kind::Bad, "Not all usable")) } }
                @if !files.problems.is_empty() {
                    div class="note bad" { p { strong { "What was read before goes on:" } } (list(&files.problems)) }
                } @else if !files.ok {
                    p { "What is wrong with a partner's file stands at the partner." }
                }
                @if !files.restart.is_empty() {
                    p class="note warn" { "Changed, and counts from the next start on: " (files.restart.join(", ")) "." }
                }
            }
        }
    }
}

fn keys(status: &Status) -> Markup {
    html! {
        article class="card" aria-labelledby="keys-title" {
            h3 id="keys-title" { "Keys and certificates" }
            div id="keys-now" class="live" data-live {
                @if status.keys.is_empty() && status.certificates.is_empty() {
                    p class="quiet" { "The broker has none of its own." }
                } @else {
                    dl class="rows" {
                        @for certificate in &status.certificates { (certificate_row(certificate)) }
                        @for key in &status.keys { (key_row(key)) }
                    }
                }
            }
        }
    }
}

fn certificate_row(certificate: &CertificateStatus) -> Markup {
    let left = certificate.days_left;
    let kind = match left {
        None | Some(0..VERY_SOON_DAYS) => Kind::Bad,
        Some(VERY_SOON_DAYS..SOON_DAYS) => Kind::Warn,
        Some(_) => Kind::Good,
    };
    let words = match left {
        None => "not readable".to_owned(),
        Some(0) => "ended, or ends today".to_owned(),
        Some(days) => format!("ends in {}", text::counted(days, "day", "days")),
    };
    html! { div { dt { code { (certificate.named_in) } } dd { (state(kind, &words)) } } }
}

fn key_row(key: &KeyStatus) -> Markup {
    html! {
        div {
            dt {
                code { (key.named_in) }
                @if let Some(name) = &key.name { br; span class="small quiet" { code { (name) } } }
            }
            dd {
                @match key.age_days {
                    Some(0) => { "written today" }
                    Some(days) => { (text::counted(days, "day", "days")) " old" }
                    None if key.name.is_some() => { "made at the start" }
                    None => { (state(Kind::Bad, "file not readable")) }
                }
            }
        }
    }
}
