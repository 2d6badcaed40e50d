//! Passwords at Redis and at its Sentinels, which may be rotated while the broker runs.

use std::fmt;
use std::sync::Arc;

use crate::secret::Secret;
use crate::telemetry::runbook::Runbook;

/// Reads a secret where it stands now; it may block. An error says what is wrong with the place, and nothing of the secret.
type Read = dyn Fn() -> Result<Secret, String> + Send + Sync;

/// A password, and where it is read again before each connection, if anywhere.
#[derive(Clone)]
pub struct Password {
    /// The last good one.
    secret: Secret,
    source: Option<Source>,
}

#[derive(Clone)]
struct Source {
    /// For the log.
    name: &'static str,
    read: Arc<Read>,
    readable: bool,
}

impl Password {
    /// `secret` until `read` says another one. `name`: what an operator calls the place where that looks.
    pub fn rotated(
        secret: Secret,
        name: &'static str,
        read: impl Fn() -> Result<Secret, String> + Send + Sync + 'static,
    ) -> Self {
        Self { secret, source: Some(Source { name, read: Arc::new(read), readable: true }) }
    }

    pub(super) fn expose(&self) -> &str {
        self.secret.expose()
    }

    pub(super) fn may_change(&self) -> bool {
        self.source.is_some()
    }

    /// Reads it again, and says whether it is another one. It stays as it is while it cannot be read: a file that is being
    /// replaced must not lose what is in use. Blocks.
    pub(super) fn read_again(&mut self) -> bool {
        let Some(source) = &mut self.source else { return false };
        let name = source.name;
        let read = (source.read)();
        // Asked before every connection: while Redis is away that is twice a second.
        let was_readable = std::mem::replace(&mut source.readable, read.is_ok());
        match read {
            Ok(secret) => {
                let changed = !self.secret.matches(secret.expose());
                if changed {
                    tracing::info!(name, "a rotated password is used from now on");
                } else if !was_readable {
                    tracing::info!(name, "the password can be read again, and is the same");
                }
                self.secret = secret;
                changed
            }
            Err(problem) => {
                if was_readable {
                    let runbook = Runbook("McxBrokerRedisAway");
                    tracing::warn!(name, problem, %runbook, "no password can be read; going on with the last one");
                }
                false
            }
        }
    }
}

impl From<Secret> for Password {
    /// One that stays as it is.
    fn from(secret: Secret) -> Self {
        Self { secret, source: None }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(***)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let file = Arc::new(Mutex::new(Ok("first")));
        let there = Arc::clone(&file);
        let read = move || there.lock().unwrap().map(Secret::from).map_err(str::to_owned);
        let mut password = Password::rotated(Secret::from("first"), "a file", read);
        for (content, changes, used) in [
            (Ok("first"), false, "first"),
            (Err("is empty"), false, "first"),
            (Err("is empty"), false, "first"),
            (Ok("second"), true, "second"),
            (Ok("second"), false, "second"),
            (Err("is away"), false, "second"),
            (Ok("second"), false, "second"),
        ] {
            *file.lock().unwrap() = content;
            assert_eq!((password.read_again(), password.expose()), (changes, used), "{content:?}");
        }
        assert!(!format!("{password:?}").contains("second"));
    }

    #[test]
    fn one_that_was_stated_stays() {
        let mut password = Password::from(Secret::from("stated"));
        assert!(!password.may_change());
        assert!(!password.read_again());
    }
}
