//! `POST /purge` and `POST /reload` on the admin listener: the buttons of the status page. Each leads to a page that asks
//! whether it is meant, and that page's form does it. The same with and without JavaScript.

use std::fmt::Display;
use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::super::purge::Whose;
use super::super::{AdminApi, ReloadReport, admin, body};
use super::{answer, explained, layout, partner};
use crate::oauth::form::Form;

/// An id in a form is far shorter, and comes at once.
const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a form of ours says.
struct Sent {
    whose: Option<Whose>,
    is_confirmed: bool,
}

/// Asks whether tokens shall be taken away, or does it.
pub(in crate::api) async fn purge(
    request: HttpRequest,
    payload: Payload,
    api: Data<AdminApi>,
) -> HttpResponse {
    let sent = match received(&request, payload, &api).await {
        Ok(sent) => sent,
        Err(refusal) => return refusal,
    };
    let Some(whose) = sent.whose else {
        let why = "Choose whose tokens to take away, and give the id of the user, client or partner.";
        return bad("Whose tokens?", why);
    };
    let nothing =
        |error: &dyn Display| bad("Nothing was purged", &format!("There is nothing to purge: {error}."));
    if let Err(error) = whose.check(&api) {
        return nothing(&error);
    }
    if !sent.is_confirmed {
        return answer(HttpResponse::Ok(), confirm_purge(&whose, &api.form_key.token(&request, &api)));
    }
    let what = described(&whose);
    match whose.take_away(&api).await {
        Ok(purged) => answer(HttpResponse::Ok(), gone(&what, purged.replicas_told)),
        Err(error) => nothing(&error),
    }
}

/// Asks whether the files shall be read again, or does it.
pub(in crate::api) async fn reload(
    request: HttpRequest,
    payload: Payload,
    api: Data<AdminApi>,
) -> HttpResponse {
    match received(&request, payload, &api).await {
        Ok(Sent { is_confirmed: true, .. }) => {}
        Ok(_) => return answer(HttpResponse::Ok(), confirm_reload(&api.form_key.token(&request, &api))),
        Err(refusal) => return refusal,
    }
    let Some(report) = api.reloads.ask().await else {
        let why = "Reading the files again ended by a fault of the broker: they count as they were until a restart.";
        let page = layout::plain("Not read", &html! { p class="note bad" { (why) } });
        return answer(HttpResponse::ServiceUnavailable(), page);
    };
    answer(HttpResponse::Ok(), layout::plain("Files read again", &reloaded(&report)))
}

/// Reads a form, if it is of our own page and sent by whoever may.
async fn received(request: &HttpRequest, payload: Payload, api: &AdminApi) -> Result<Sent, HttpResponse> {
    if let Some(refusal) = admin::refuse_form(request, api) {
        return Err(explained(refusal));
    }
    let unreadable =
        |error: &dyn Display| bad("Nothing was done", &format!("The form could not be read: {error}."));
    let body = body::form(request, payload, MAX_BODY_BYTES, BODY_TIMEOUT).await;
    let body = body.map_err(|error| unreadable(&error))?;
    let form = Form::parse(&body).map_err(|error| unreadable(&error))?;
    if api.form_key.made(form.get("form_token"), request, api) {
        return Ok(Sent { whose: whose(&form), is_confirmed: form.get("confirmed").is_some() });
    }
    let why = "This form is not of a page that the running broker made for you. It may be older than the broker's last start, \
               or somebody else's. Open the status page and begin again.";
    let page = layout::plain("Nothing was done", &html! { p class="note bad" { (why) } });
    Err(answer(HttpResponse::Forbidden(), page))
}

fn whose(form: &Form<'_>) -> Option<Whose> {
    let id = || form.get("id").map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
    match form.get("whose")? {
        "user" => id().map(Whose::User),
        "client" => id().map(Whose::Client),
        "partner" => id().map(Whose::Partner),
        "all" => Some(Whose::All),
        _ => None,
    }
}

fn described(whose: &Whose) -> Markup {
    match whose {
        Whose::User(id) => html! { "all tokens of the user " code { (id) } },
        Whose::Client(id) => html! { "all tokens that the client " code { (id) } " obtained" },
        Whose::Partner(id) => html! { "all tokens of the partner " code { (id) } },
        Whose::All => html! { "all tokens of all users" },
    }
}

fn gone(what: &Markup, replicas_told: bool) -> Markup {
    layout::plain(
        "Purged",
        &html! {
            p class="note good" role="status" { "Gone from this replica: " (what) "." }
            @if replicas_told {
                p { "The other replicas, where there are any, have been told." }
            } @else {
                p class="note warn" {
                    "Redis could not be told; it will be as soon as it answers. Until then other replicas may serve theirs."
                }
            }
            p { "Whoever asks next gets a new token, if the home and the partner identity server still give one." }
        },
    )
}

fn confirm_purge(whose: &Whose, token: &str) -> Markup {
    let (kind, id) = match whose {
        Whose::User(id) => ("user", id.as_str()),
        Whose::Client(id) => ("client", id.as_str()),
        Whose::Partner(id) => ("partner", id.as_str()),
        Whose::All => ("all", ""),
    };
    layout::plain(
        "Purge?",
        &html! {
            p { "This takes " strong { (described(whose)) } " out of reach, on every replica. It cannot be undone." }
            p { "Tokens that clients hold already stay good at their partners until they end. Whoever asks next gets a new one, which \
                costs the home and the partner identity server a request each." }
            @if matches!(whose, Whose::User(_)) {
                p class="quiet" { "Whether there is such a user is not known here: users are kept as digests." }
            }
            form method="post" action="/purge" {
                input type="hidden" name="form_token" value=(token);
                input type="hidden" name="whose" value=(kind);
                input type="hidden" name="id" value=(id);
                input type="hidden" name="confirmed" value="yes";
                button type="submit" class="danger" { "Purge" }
                a class="button" href="/" { "Keep them" }
            }
        },
    )
}

fn confirm_reload(token: &str) -> Markup {
    layout::plain(
        "Read the files again?",
        &html! {
            p { "Partners, clients, rules, secrets and keys are put in place as their files say now. What is wrong is told, and what \
                was read before goes on." }
            form method="post" action="/reload" {
                input type="hidden" name="form_token" value=(token);
                input type="hidden" name="confirmed" value="yes";
                button type="submit" { "Read them" }
                a class="button" href="/" { "Leave it" }
            }
        },
    )
}

fn reloaded(report: &ReloadReport) -> Markup {
    html! {
        @if report.problems.is_empty() {
            p class="note good" role="status" { "Every file could be used." }
        } @else {
            div class="note bad" role="status" {
                p { strong { "Not every file could be used; what these said before goes on:" } }
                (partner::list(&report.problems))
            }
        }
        @if report.changed.is_empty() {
            p { "No partner came, went or changed." }
        } @else {
            p { "Partners that came, went or changed: " (report.changed.join(", ")) "." }
        }
        @if !report.restart.is_empty() {
            p class="note warn" { "Changed, and counts from the next start on: " (report.restart.join(", ")) "." }
        }
    }
}

fn bad(title: &str, why: &str) -> HttpResponse {
    answer(HttpResponse::BadRequest(), layout::plain(title, &html! { p class="note bad" { (why) } }))
}

/// The button of one partner's card.
pub(super) fn purge_partner(id: &str, token: &str) -> Markup {
    html! {
        form class="end" method="post" action="/purge" {
            input type="hidden" name="form_token" value=(token);
            input type="hidden" name="whose" value="partner";
            input type="hidden" name="id" value=(id);
            button type="submit" aria-label=(format!("Purge tokens of {id}")) { "Purge tokens…" }
        }
    }
}

/// What concerns all partners.
pub(super) fn everywhere(token: &str) -> Markup {
    html! {
        section aria-labelledby="actions-title" {
            h2 id="actions-title" { "Actions" }
            div class="cards" {
                article class="card" aria-labelledby="purge-title" {
                    h3 id="purge-title" { "Take tokens away" }
                    form method="post" action="/purge" {
                        input type="hidden" name="form_token" value=(token);
                        div class="field" {
                            label for="whose" { "Whose" }
                            select id="whose" name="whose" {
                                option value="user" { "A user's" }
                                option value="client" { "A client's" }
                                option value="all" { "Everybody's" }
                            }
                        }
                        div class="field" {
                            label for="id" { "Id of the user or client" }
                            input id="id" name="id" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="1000";
                        }
                        button type="submit" { "Purge…" }
                    }
                    p class="small quiet" { "A user is named by the first of " code { "home.subject_claims" } " that the user's home tokens have." }
                }
                article class="card" aria-labelledby="reload-title" {
                    h3 id="reload-title" { "Read the files again" }
                    p { "Files that change are read by themselves within seconds. This does it now, and says what came of it." }
                    form class="end" method="post" action="/reload" {
                        input type="hidden" name="form_token" value=(token);
                        button type="submit" { "Reload…" }
                    }
                }
            }
        }
    }
}
