//! What can go wrong in one call to an identity server.

use std::borrow::Cow;
use std::time::Duration;

use crate::http::{Answer, ConnectFault, HttpError};
use crate::oauth::refusal::Refusal;

/// A queue that was full is not a moment later, and is soon: either the server is fast, or the queue is gone.
const WHEN_OVERLOADED: Duration = Duration::from_secs(1);

/// Its metadata says that it has none.
pub(super) const NONE_DISCOVERED: &str = "discovery names no such endpoint; state it in the file";
/// The file says that it has none.
pub(super) const NONE_STATED: &str = "discovery is off and the endpoint is not stated";

/// The outcome of a call that brought no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdmError {
    /// Discovery failed or names no such endpoint.
    #[error("its endpoints are not known: {0}")]
    Endpoints(Cow<'static, str>),
    /// No connection. Nothing was sent.
    #[error("it cannot be reached: {0}")]
    Unreachable(ConnectFault),
    /// The deadline passed, or the connection broke: what was sent may have been processed, so an assertion is spent.
    #[error("it did not answer in full in time")]
    NoAnswer,
    /// 5xx, 408, 429, or an error that says "later".
    #[error("it answered {status}: not available")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// What it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// It failed again and again, so it is not asked for this long.
    #[error("it keeps failing, so it is left alone for a while")]
    Paused(Duration),
    /// It was asked for the same a moment ago, and answered; it is asked again after so long.
    #[error("it was asked a moment ago, and is not asked again so soon")]
    AskedJustNow(Duration),
    /// As many calls as allowed are under way there, and as many wait for their turn.
    #[error("too many requests wait for it")]
    Overloaded,
    /// An OAuth error response.
    #[error("it refused: {0}")]
    Refused(Refusal),
    /// Neither a token response nor an OAuth error.
    #[error("its answer is not usable: {0}")]
    Nonsense(String),
    /// Our own client assertion could not be signed.
    #[error("our client assertion could not be signed")]
    Signing,
}

impl IdmError {
    /// Whether it passes by itself: a server that is away comes back, one that refuses or answers nonsense needs a person.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::NoAnswer
                | Self::Unavailable { .. }
                | Self::Paused(_)
                | Self::AskedJustNow(_)
                | Self::Overloaded
        )
    }

    /// How long to wait before asking again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Paused(pause) | Self::AskedJustNow(pause) => Some(*pause),
            Self::Overloaded => Some(WHEN_OVERLOADED),
            _ => None,
        }
    }

    /// Whether there is no such endpoint, and that is all: nobody was in trouble.
    pub fn is_of_no_endpoint(&self) -> bool {
        matches!(self, Self::Endpoints(why) if why == NONE_DISCOVERED || why == NONE_STATED)
    }

    /// [`IdmError::Unavailable`], if that is what the status says whatever the body.
    pub(super) fn unavailable(answer: &Answer) -> Option<Self> {
        let later = answer.status >= 500 || matches!(answer.status, 408 | 429);
        later.then_some(Self::Unavailable { status: answer.status, retry_after: answer.retry_after })
    }
}

impl From<HttpError> for IdmError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Url => Self::Endpoints("the URL is not https (or http to loopback)".into()),
            HttpError::Connect(fault) => Self::Unreachable(fault),
            HttpError::Timeout | HttpError::Broken => Self::NoAnswer,
            HttpError::TooLarge | HttpError::Redirect => Self::Nonsense(error.to_string()),
        }
    }
}
