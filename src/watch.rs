//! Files that may be replaced while the broker runs. Their content is read again and again: that works with editors that
//! rename, with Kubernetes' links and on every file system, which notifications of changes do not.
//!
//! What is new is taken when it was read twice in a row, so that a file that is half written is not. What is broken is
//! said once, and what was there before stays in use: a slip of the pen must not lock everybody out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::secret::{Secret, sha256};
use crate::telemetry::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

type Read = dyn Fn() -> Result<Secret, String> + Send;
type Take = dyn Fn(Secret) -> Result<(), String> + Send;
/// A digest of the content, or why there is none.
type Seen = Result<[u8; 32], String>;

/// One file, or several that are good only together.
pub struct Watched {
    /// For the log.
    name: String,
    read: Box<Read>,
    take: Box<Take>,
    /// In the last look.
    last: Seen,
    /// When something last came of it.
    settled: Seen,
    in_use: [u8; 32],
}

impl Watched {
    /// `in_use`: what was read at the start. `read` says what is there now and may block; `take` puts it to use. Errors say
    /// what is wrong, and nothing of the content.
    pub fn new(
        name: String,
        in_use: &Secret,
        read: impl Fn() -> Result<Secret, String> + Send + 'static,
        take: impl Fn(Secret) -> Result<(), String> + Send + 'static,
    ) -> Self {
        let in_use = sha256(in_use.expose().as_bytes());
        Self {
            name,
            read: Box::new(read),
            take: Box::new(take),
            last: Ok(in_use),
            settled: Ok(in_use),
            in_use,
        }
    }

    fn look(&mut self, metrics: &Metrics) {
        let read = (self.read)();
        let seen = read.as_ref().map(|content| sha256(content.expose().as_bytes())).map_err(Clone::clone);
        let steady = seen == self.last;
        self.last.clone_from(&seen);
        if !steady || seen == self.settled {
            return;
        }
        self.settled.clone_from(&seen);
        let name = self.name.as_str();
        let taken = match (read, seen) {
            (Ok(_), Ok(digest)) if digest == self.in_use => {
                tracing::info!(name, "the file can be read again, and is the same");
                return;
            }
            (Ok(content), Ok(digest)) => (self.take)(content).map(|()| self.in_use = digest),
            (Err(problem), _) | (_, Err(problem)) => Err(problem),
        };
        metrics.file_replaced(taken.is_ok());
        match taken {
            Ok(()) => tracing::info!(name, "the file was replaced; what is there now is used"),
            Err(problem) => {
                tracing::warn!(
                    name,
                    problem,
                    "the file was replaced by what cannot be used; going on as before"
                );
            }
        }
    }
}

/// All files that are watched.
pub struct FileWatch {
    files: Mutex<Vec<Watched>>,
    metrics: Metrics,
}

impl FileWatch {
    /// Nothing happens until somebody looks.
    pub const fn new(files: Vec<Watched>, metrics: Metrics) -> Self {
        Self { files: Mutex::new(files), metrics }
    }

    /// Looks at every file once. Blocks.
    pub fn look(&self) {
        for file in self.files.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            file.look(&self.metrics);
        }
    }

    /// Looks for as long as the process lives.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let this = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || this.look()).await.is_err() {
                tracing::error!("replaced files are not looked for any more");
                return;
            }
        }
    }
}

impl fmt::Debug for FileWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FileWatch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_steady_and_good_is_taken_and_all_else_changes_nothing() {
        let file = Arc::new(Mutex::new(Ok("first")));
        let used = Arc::new(Mutex::new(String::from("first")));
        let (there, taken) = (Arc::clone(&file), Arc::clone(&used));
        let watched = Watched::new(
            "a file".to_owned(),
            &Secret::from("first"),
            move || there.lock().unwrap().map(Secret::from).map_err(str::to_owned),
            move |content| match content.expose() {
                "broken" => Err("is broken".to_owned()),
                good => {
                    good.clone_into(&mut taken.lock().unwrap());
                    Ok(())
                }
            },
        );
        let metrics = Metrics::new();
        let watch = FileWatch::new(vec![watched], metrics.clone());
        for (content, expected) in [
            (Ok("first"), "first"),
            (Ok("sec"), "first"),
            (Ok("second"), "first"),
            (Ok("second"), "second"),
            (Err("is away"), "second"),
            (Err("is away"), "second"),
            (Err("is away"), "second"),
            (Ok("second"), "second"),
            (Ok("second"), "second"),
            (Ok("broken"), "second"),
            (Ok("broken"), "second"),
            (Ok("broken"), "second"),
            (Ok("third"), "second"),
            (Ok("third"), "third"),
        ] {
            *file.lock().unwrap() = content;
            watch.look();
            assert_eq!(*used.lock().unwrap(), expected, "{content:?}");
        }
        let counted = metrics.render();
        for line in ["{outcome=\"taken\"} 2", "{outcome=\"refused\"} 2"] {
            assert!(counted.contains(&format!("mcx_broker_replaced_files_total{line}")), "{counted}");
        }
    }
}
