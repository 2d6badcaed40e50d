//! Request bodies of many users: one file of records of one size, so that the load generator finds any of them by
//! seeking, and a million of them need no memory.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcx_token_broker::jose::SigningKey;

use crate::tokens::{home_token, request_body};

/// Records that one thread signs and writes at a time.
const CHUNK: u32 = 500;
/// Between two lines of progress.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// The bodies of users 0 to `users`. The file is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Population {
    path: PathBuf,
    users: u32,
    record_bytes: usize,
}

impl Population {
    /// Signs a home token for each user.
    pub(crate) fn write(path: &Path, key: &SigningKey, users: u32) -> Self {
        let file = File::create(path).expect("a file for request bodies");
        let token = home_token(key, 0);
        let record_bytes = request_body(&token).len();
        eprintln!(
            "signing {users} home tokens with {}: {} bytes each, in bodies of {record_bytes}",
            key.algorithm().as_str(),
            token.len()
        );
        let next = AtomicU32::new(0);
        let work = || {
            loop {
                let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                if first >= users {
                    return;
                }
                let mut records = String::new();
                for user in first..users.min(first + CHUNK) {
                    records.push_str(&request_body(&home_token(key, user)));
                }
                let offset = u64::from(first) * record_bytes as u64;
                let expected = record_bytes * (users.min(first + CHUNK) - first) as usize;
                assert_eq!(records.len(), expected, "bodies are equally long");
                file.write_all_at(records.as_bytes(), offset).expect("room for request bodies");
            }
        };
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut waited = Duration::ZERO;
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                let pause = Duration::from_millis(50);
                std::thread::sleep(pause);
                waited += pause;
                if waited >= REPORT_EVERY {
                    waited = Duration::ZERO;
                    eprintln!("  {} of {users}", next.load(Ordering::Relaxed).min(users));
                }
            }
        });
        Self { path: path.to_owned(), users, record_bytes }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn users(&self) -> u32 {
        self.users
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    /// The bodies of the first users.
    pub(crate) fn first(&self, users: u32) -> Vec<String> {
        let mut file = File::open(&self.path).expect("the file of request bodies");
        let record = |_| {
            let mut record = vec![0; self.record_bytes];
            file.read_exact(&mut record).expect("a whole record");
            String::from_utf8(record).expect("form data is ASCII")
        };
        (0..users.min(self.users)).map(record).collect()
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        // At the latest it goes with its directory.
        let _ = std::fs::remove_file(&self.path);
    }
}
