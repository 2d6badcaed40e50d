//! Faults that can be switched on per endpoint: what identity servers in the field, and the networks before them, get wrong.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;

use super::endpoint::Endpoint;
use super::locked;

/// What goes wrong. Those that change an answer let the IdM do its work first: a lost answer has spent the assertion.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Answers so much later.
    Delay {
        /// Real time.
        milliseconds: u64,
    },
    /// Answers only when the fault is cleared: for tests of what happens meanwhile, without sleeping.
    Hold,
    /// Answers this and does nothing.
    Status {
        /// HTTP status.
        status: u16,
        /// Plain text.
        #[serde(default)]
        body: String,
    },
    /// Answers this, says when to come back, and does nothing.
    RetryAfter {
        /// HTTP status.
        status: u16,
        /// `Retry-After`.
        seconds: u64,
    },
    /// Answers 200 and a web page, as a captive portal does.
    Html,
    /// Answers 302.
    Redirect {
        /// `Location`.
        location: String,
    },
    /// Answers 200 and this many bytes of JSON string, streamed.
    HugeBody {
        /// How many.
        bytes: u64,
        /// Whether `Content-Length` says so beforehand.
        #[serde(default)]
        declared: bool,
    },
    /// Answers 200 and then one byte at a time, without end.
    EndlessBody,
    /// Cuts the connection in the middle of the body.
    CutBody,
    /// Cuts the connection in the middle of the headers.
    HalfHeaders,
    /// Answers this OAuth error and does nothing.
    Error {
        /// HTTP status; 200 happens in the field.
        status: u16,
        /// `error`.
        error: String,
        /// `error_description`; empty: none.
        #[serde(default)]
        description: String,
    },
    /// Cuts the JSON short: `{"access_token":"..`.
    InvalidJson,
    /// Writes the first member twice, the second time with another value.
    DuplicateMember,
    /// Puts a member into the answer, in place of the one of that name: `expires_in` as text, `token_type` `mac`, a foreign `issuer`.
    Set {
        /// Which.
        member: String,
        /// Its value.
        value: Value,
    },
    /// Takes a member out of the answer.
    Remove {
        /// Which.
        member: String,
    },
    /// Adds a scope to the answer's.
    WiderScope {
        /// Which.
        scope: String,
    },
    /// Takes the last scope out of the answer's.
    NarrowerScope,
}

/// The faults that are on.
#[derive(Default)]
pub(super) struct Faults(Mutex<HashMap<Endpoint, Switched>>);

struct Switched {
    fault: Fault,
    /// How often it still happens; `None`: until it is cleared.
    left: Option<u32>,
    cleared: Arc<Notify>,
}

impl Faults {
    pub(super) fn set(&self, endpoint: Endpoint, fault: Fault, times: Option<u32>) {
        let switched = Switched { fault, left: times, cleared: Arc::new(Notify::new()) };
        if let Some(before) = locked(&self.0).insert(endpoint, switched) {
            before.cleared.notify_waiters();
        }
    }

    pub(super) fn clear(&self, endpoint: Endpoint) {
        if let Some(before) = locked(&self.0).remove(&endpoint) {
            before.cleared.notify_waiters();
        }
    }

    pub(super) fn clear_all(&self) {
        for (_, before) in locked(&self.0).drain() {
            before.cleared.notify_waiters();
        }
    }

    /// The fault for one request, and what ends a [`Fault::Hold`].
    pub(super) fn next(&self, endpoint: Endpoint) -> Option<(Fault, impl Future<Output = ()> + use<>)> {
        let mut faults = locked(&self.0);
        let switched = faults.get_mut(&endpoint)?;
        match &mut switched.left {
            Some(0) => return None,
            Some(left) => *left -= 1,
            None => {}
        }
        // Registered before the lock is given back: a clear from now on is not missed.
        Some((switched.fault.clone(), Arc::clone(&switched.cleared).notified_owned()))
    }
}
