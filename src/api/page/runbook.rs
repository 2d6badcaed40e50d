//! `GET /runbook` on the admin listener: what to do about each error and each alert, where the errors are shown.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{PreEscaped, html};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html::push_html};

use super::super::{AdminApi, admin};
use super::{answer, explained, layout};

/// The document as it was when the broker was built.
const RUNBOOK: &str = include_str!("../../../docs/operations.md");

/// The runbook.
pub(in crate::api) async fn get(request: HttpRequest, api: Data<AdminApi>) -> HttpResponse {
    if let Some(refusal) = admin::refuse(&request, &api) {
        return explained(refusal);
    }
    let text = PreEscaped(rendered(RUNBOOK));
    answer(HttpResponse::Ok(), layout::still("Runbook", &html! { (text) }))
}

/// As HTML. Each code in a heading is an anchor. HTML in the text shows as it stands, and links to other documents, which are not
/// here, are their text alone.
fn rendered(markdown: &str) -> String {
    let events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let mut written = Vec::with_capacity(events.len());
    let mut links = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => written.push(Event::Text(text.clone())),
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                let (words, codes) = heading(&events[at + 1..]);
                let id = anchor(&words);
                written.extend(
                    codes
                        .into_iter()
                        .filter(|code| *code != id)
                        .map(|code| Event::Html(html! { span id=(code) {} }.into_string().into())),
                );
                let (level, id) = (*level, Some(CowStr::from(id)));
                let (classes, attrs) = (classes.clone(), attrs.clone());
                written.push(Event::Start(Tag::Heading { level, id, classes, attrs }));
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let leads_somewhere = dest_url.starts_with('#') || dest_url.starts_with("https://");
                links.push(leads_somewhere);
                written.extend(leads_somewhere.then(|| event.clone()));
            }
            Event::End(TagEnd::Link) => {
                written.extend(links.pop().unwrap_or(false).then(|| event.clone()));
            }
            Event::Start(Tag::Table(_)) => {
                written.push(Event::Html("<div class=\"wide\" tabindex=\"0\">".into()));
                written.push(event.clone());
            }
            Event::End(TagEnd::Table) => {
                written.push(event.clone());
                written.push(Event::Html("</div>".into()));
            }
            other => written.push(other.clone()),
        }
    }
    let mut page = String::with_capacity(markdown.len() * 2);
    push_html(&mut page, written.into_iter());
    page
}

/// The words of the heading that `events` begins with, and the codes among them.
fn heading(events: &[Event<'_>]) -> (String, Vec<String>) {
    let (mut words, mut codes) = (String::new(), Vec::new());
    for event in events {
        match event {
            Event::End(TagEnd::Heading(_)) => break,
            Event::Text(text) => words.push_str(text),
            Event::Code(code) => {
                words.push_str(code);
                codes.push(code.to_string());
            }
            _ => {}
        }
    }
    (words, codes)
}

/// As other readers of Markdown make it.
fn anchor(words: &str) -> String {
    let letters = words.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => letter.to_lowercase().next(),
        _ => None,
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_anchors_and_so_is_each_code_in_them() {
        let page = rendered("## `partner_unreachable`\n### The breaker: `a_b`, `c_d`\n");
        for anchor in ["id=\"partner_unreachable\"", "id=\"the-breaker-a_b-c_d\"", "id=\"a_b\"", "id=\"c_d\""]
        {
            assert_eq!(page.matches(anchor).count(), 1, "{anchor}: {page}");
        }
    }

    #[test]
    fn html_is_text_and_other_documents_are_not_linked() {
        let page = rendered(
            "<b>x</b> <script>y</script>\n\n[a](errors.md#b) [c](#d) [e](https://f.example) [g](javascript:h)\n",
        );
        assert!(!page.contains("<b>") && !page.contains("<script>") && page.contains("&lt;b&gt;"), "{page}");
        assert!(!page.contains("errors.md") && !page.contains("javascript"), "{page}");
        assert!(
            page.contains("<a href=\"#d\">c</a>") && page.contains("<a href=\"https://f.example\">e</a>"),
            "{page}"
        );
    }

    #[test]
    fn wide_tables_scroll_by_themselves() {
        assert!(rendered("| a |\n|---|\n| b |\n").starts_with("<div class=\"wide\" tabindex=\"0\"><table>"));
    }
}
