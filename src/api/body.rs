//! Request bodies, read within a size and a time: a client that never stops sending must not hold a worker's memory.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Payload};
use futures_util::{FutureExt as _, StreamExt as _};

use super::Connection;

/// Of a body that is not wanted so much is read all the same, in bytes, and for so long.
const MOST_REST: usize = 4 * 1024 * 1024;
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not a form.
    #[error("the Content-Type is not application/x-www-form-urlencoded")]
    ContentType,
    /// Larger than allowed.
    #[error("the request body is too large")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the request body did not arrive in time")]
    TooSlow,
    /// The connection broke.
    #[error("the request body could not be read")]
    Broken,
}

/// Whether the body is declared to be of this type, parameters aside (RFC 9110 §8.3.1).
pub(super) fn is_declared_as(request: &HttpRequest, media_type: &str) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(media_type)
}

/// Reads a form body of at most `max_bytes`.
pub async fn form(
    request: &HttpRequest,
    mut payload: Payload,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    let read = if is_declared_as(request, "application/x-www-form-urlencoded") {
        bounded(&mut payload, max_bytes, timeout).await
    } else {
        Err(BodyError::ContentType)
    };
    let is_whole = match read {
        Ok(_) => true,
        // A connection that is closed with bytes unread is reset, and the client may not see why.
        Err(BodyError::ContentType | BodyError::TooLarge) => {
            tokio::time::timeout(LONGEST_REST, throw_away(&mut payload)).await.unwrap_or(false)
        }
        Err(BodyError::TooSlow | BodyError::Broken) => false,
    };
    if !is_whole && let Some(connection) = request.conn_data::<Arc<Connection>>() {
        connection.give_up();
    }
    read
}

/// Reads a body of at most `max_bytes` within `timeout`.
pub(super) async fn bounded(
    payload: &mut Payload,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    let mut reading = std::pin::pin!(whole(payload, max_bytes));
    // Nearly all bodies come with their head, and a timer costs as much as reading them.
    match (&mut reading).now_or_never() {
        Some(read) => read,
        None => tokio::time::timeout(timeout, reading).await.unwrap_or(Err(BodyError::TooSlow)),
    }
}

/// Reads the rest of a body that is not wanted, or as much of it as a client can have sent by mistake; whether that was all.
async fn throw_away(payload: &mut Payload) -> bool {
    let mut left = MOST_REST;
    while let Some(Ok(piece)) = payload.next().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// A body that came in one piece, as nearly all do, is not copied.
async fn whole(payload: &mut Payload, max_bytes: usize) -> Result<Bytes, BodyError> {
    let (mut first, mut all) = (Bytes::new(), Vec::new());
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| BodyError::Broken)?;
        if first.len().max(all.len()) + piece.len() > max_bytes {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() {
            first = piece;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&piece);
    }
    Ok(if all.is_empty() { first } else { all.into() })
}
