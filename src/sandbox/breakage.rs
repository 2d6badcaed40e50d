//! How a [`Fault`] changes an answer on its way out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::time::{Interval, interval, sleep};
use actix_web::web::Bytes;
use serde_json::{Map, Value, json};

use super::endpoint::Endpoint;
use super::faults::{Fault, Faults};
use super::mistake::Answer;
use super::reply::{Body, Reply};
use super::tokens::{scopes, spaced};
use super::wire::Wire;

/// Answers with what `work` gives, or with what the endpoint's fault makes of it.
pub(super) async fn answer(
    faults: &Faults,
    endpoint: Endpoint,
    wire: Option<&Wire>,
    work: impl Future<Output = Reply>,
) -> HttpResponse {
    let Some((fault, cleared)) = faults.next(endpoint) else { return work.await.into_response() };
    match fault {
        Fault::Delay { milliseconds } => {
            sleep(Duration::from_millis(milliseconds)).await;
            work.await.into_response()
        }
        Fault::Hold => {
            cleared.await;
            work.await.into_response()
        }
        Fault::Status { status, body } => Reply::text(status, "text/plain", body).into_response(),
        Fault::RetryAfter { status, seconds } => {
            Reply::text(status, "text/plain", "").with("Retry-After", seconds.to_string()).into_response()
        }
        Fault::Html => {
            Reply::text(200, "text/html", "<html><body>Please sign in</body></html>").into_response()
        }
        Fault::Redirect { location } => {
            Reply::text(302, "text/plain", "").with("Location", location).into_response()
        }
        Fault::HugeBody { bytes, declared } => {
            HttpResponse::Ok().content_type("application/json").body(Huge { left: bytes, declared })
        }
        Fault::EndlessBody => {
            let ticks = interval(Duration::from_millis(20));
            HttpResponse::Ok().content_type("application/json").body(Drip(ticks))
        }
        Fault::Error { status, error, description } => {
            Reply::refusal(&Answer { status, error, description }).into_response()
        }
        Fault::CutBody => cut(&work.await, wire, true),
        Fault::HalfHeaders => cut(&work.await, wire, false),
        fault => changed(work.await, &fault).into_response(),
    }
}

/// Sends the answer up to the middle of its headers or body, and closes the connection.
fn cut(reply: &Reply, wire: Option<&Wire>, in_body: bool) -> HttpResponse {
    let body = reply.body();
    let mut text = format!("HTTP/1.1 {} Cut\r\nContent-Type: application/json\r\n", reply.status);
    if in_body {
        let half = body.get(..body.len() / 2).unwrap_or_default();
        text = format!("{text}Content-Length: {}\r\n\r\n{half}", body.len());
    } else {
        text.push_str("Content-Le");
    }
    if let Some(wire) = wire {
        wire.cut_after(text.as_bytes());
    }
    HttpResponse::InternalServerError().finish()
}

/// The answer with the fault in its body.
fn changed(mut reply: Reply, fault: &Fault) -> Reply {
    let Body::Json(members) = &mut reply.body else { return reply };
    match fault {
        Fault::Set { member, value } => {
            members.insert(member.clone(), value.clone());
        }
        Fault::Remove { member } => {
            members.remove(member);
        }
        Fault::WiderScope { scope } => {
            let mut granted = scopes(members.get("scope"));
            granted.insert(scope.clone());
            members.insert("scope".to_owned(), json!(spaced(&granted)));
        }
        Fault::NarrowerScope => {
            let mut granted = scopes(members.get("scope"));
            granted.pop_last();
            members.insert("scope".to_owned(), json!(spaced(&granted)));
        }
        Fault::InvalidJson => {
            let text = Value::Object(members.clone()).to_string();
            reply.body = Body::Text(text.get(..text.len() / 2).unwrap_or_default().to_owned());
        }
        Fault::DuplicateMember => reply.body = Body::Text(twice(members)),
        _ => {}
    }
    reply
}

/// The object with its first member twice, the second time with another value.
fn twice(members: &Map<String, Value>) -> String {
    let text = Value::Object(members.clone()).to_string();
    let first = members.keys().next().map(|name| json!(name).to_string()).unwrap_or_default();
    format!("{},{first}:\"second\"}}", text.trim_end_matches('}'))
}

/// A JSON string of `left` more bytes.
struct Huge {
    left: u64,
    declared: bool,
}

impl MessageBody for Huge {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        if self.declared { BodySize::Sized(self.left) } else { BodySize::Stream }
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        static CHUNK: [u8; 65536] = [b' '; 65536];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = usize::try_from(self.left).unwrap_or(CHUNK.len()).min(CHUNK.len());
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Bytes::from_static(&CHUNK[..length]))))
    }
}

/// A space every now and then, without end.
struct Drip(Interval);

impl MessageBody for Drip {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Bytes::from_static(b" "))))
    }
}
