//! The audit log: one JSON object per decision, in a file of its own. It says who got what and why not, with digests for
//! tokens and users.
//!
//! A record costs the request a copy into a buffer. A thread of its own writes the buffer; what the disk does not take in
//! time is counted and lost, because an officer's radio must not wait for a disk.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use super::metrics::Metrics;
use super::runbook::Runbook;
use crate::json::push_text;

/// What waits to be written; at a thousand requests a second, half a minute's records.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(10);

/// One decision. Texts are ids of ours or codes; in a reason, a scope or an error that somebody else wrote, cut and escaped.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditRecord<'a> {
    /// Milliseconds since the epoch.
    pub at_millis: i64,
    /// The answer's `x-request-id`.
    pub request_id: &'a str,
    /// The registered client; empty before it was authenticated.
    pub client: &'a str,
    /// Digest of the user.
    pub user: Option<&'a [u8]>,
    /// The user's name, where the operator wants it; else empty.
    pub user_id: &'a str,
    /// Digest of whoever acts for the user.
    pub actor: Option<&'a [u8]>,
    /// Its name, where the operator wants it; else empty.
    pub actor_id: &'a str,
    /// The partner's id; empty before it was found.
    pub partner: &'a str,
    /// `ok`, or the stable code of the error.
    pub outcome: &'a str,
    /// Why not, in words: which rule, which claim, which check. Empty for `ok`.
    pub reason: &'a str,
    /// Where a token came from: `memory`, `redis`, `partner`, or `home` for a security token; or what was taken back by:
    /// `token`, `logout`, `purge`.
    pub source: &'a str,
    /// What was asked for in vain, cut.
    pub asked_scope: &'a str,
    /// What was granted.
    pub scope: &'a str,
    /// Start of the digest of the subject token.
    pub subject_token: Option<&'a [u8]>,
    /// Start of the digest of the token that was handed out.
    pub issued_token: Option<&'a [u8]>,
}

/// Where records go; clones share it. The last one to be dropped waits until all is written.
#[derive(Clone)]
pub struct AuditLog(Option<Arc<Writer>>);

struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    metrics: Metrics,
}

#[derive(Default)]
struct Buffer {
    text: Vec<u8>,
    /// The second of the last record, and how it is written.
    second: i64,
    written_second: String,
    closed: bool,
    /// Whether the thread sleeps until there is something: only then is waking it worth its price.
    idle: bool,
}

impl AuditLog {
    /// Keeps no records.
    pub const fn off() -> Self {
        Self(None)
    }

    /// Appends to a file, which is made if it is not there, for its owner only.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn to_file(path: &Path, metrics: Metrics) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let buffer = Mutex::new(Buffer { second: i64::MIN, ..Buffer::default() });
        let shared = Arc::new(Shared { buffer, filled: Condvar::new(), metrics });
        let writing = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("audit".to_owned()).spawn(move || writing.write(file))?;
        Ok(Self(Some(Arc::new(Writer { shared, thread: Mutex::new(Some(thread)) }))))
    }

    /// Waits until all is written. What is recorded afterwards is lost.
    pub fn close(&self) {
        if let Some(writer) = &self.0 {
            writer.close();
        }
    }

    /// Writes a record down.
    pub fn record(&self, record: &AuditRecord<'_>) {
        let Some(writer) = &self.0 else { return };
        let mut buffer = writer.shared.buffer();
        if buffer.text.len() > MOST_BYTES {
            writer.shared.metrics.audit_lost(1);
            return;
        }
        buffer.push(record);
        if buffer.idle {
            buffer.idle = false;
            writer.shared.filled.notify_one();
        }
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut file: File) {
        let mut text = Vec::new();
        let mut well = true;
        loop {
            let mut buffer = self.buffer();
            while buffer.text.is_empty() && !buffer.closed {
                buffer.idle = true;
                buffer = self.filled.wait(buffer).unwrap_or_else(PoisonError::into_inner);
            }
            let closed = buffer.closed;
            std::mem::swap(&mut buffer.text, &mut text);
            drop(buffer);
            if let Err(error) = file.write_all(&text) {
                let lost = memchr::memchr_iter(b'\n', &text).count();
                self.metrics.audit_lost(lost as u64);
                if well {
                    let runbook = Runbook("McxBrokerAuditLost");
                    tracing::error!(%error, %runbook, "the audit log cannot be written: records are lost");
                }
                well = false;
            } else {
                well = true;
            }
            text.clear();
            if closed {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Writer {
    fn close(&self) {
        self.shared.buffer().closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It ends by itself; a panic of it was told by the runtime.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Buffer {
    fn push(&mut self, record: &AuditRecord<'_>) {
        let (second, millis) = (record.at_millis.div_euclid(1000), record.at_millis.rem_euclid(1000));
        if second != self.second {
            self.second = second;
            let since = Duration::from_secs(u64::try_from(second).unwrap_or(0));
            // `2026-11-24T17:28:59Z`: the fraction goes before the Z.
            self.written_second = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
            self.written_second.pop();
        }
        let text = &mut self.text;
        text.extend_from_slice(b"{\"time\":\"");
        text.extend_from_slice(self.written_second.as_bytes());
        let digit = |unit: i64| b'0' + u8::try_from(millis / unit % 10).unwrap_or(0);
        text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1), b'Z', b'"']);
        for (member, value) in [
            (",\"client\":", record.client),
            (",\"user_id\":", record.user_id),
            (",\"actor_id\":", record.actor_id),
            (",\"partner\":", record.partner),
            (",\"asked_scope\":", record.asked_scope),
            (",\"scope\":", record.scope),
            (",\"reason\":", record.reason),
        ] {
            if !value.is_empty() {
                text.extend_from_slice(member.as_bytes());
                push_text(text, value);
            }
        }
        // Words and numbers of our own have nothing to escape.
        for (member, value) in [
            (",\"request_id\":\"", record.request_id),
            (",\"outcome\":\"", record.outcome),
            (",\"source\":\"", record.source),
        ] {
            if !value.is_empty() {
                text.extend_from_slice(member.as_bytes());
                text.extend_from_slice(value.as_bytes());
                text.push(b'"');
            }
        }
        for (member, digest) in [
            (",\"user\":\"", record.user),
            (",\"actor\":\"", record.actor),
            (",\"subject_token\":\"", record.subject_token),
            (",\"issued_token\":\"", record.issued_token),
        ] {
            if let Some(digest) = digest {
                text.extend_from_slice(member.as_bytes());
                push_hex(text, digest);
                text.push(b'"');
            }
        }
        text.extend_from_slice(b"}\n");
    }
}

/// In one piece: digit by digit the buffer would be looked at for room each time.
fn push_hex(text: &mut Vec<u8>, digest: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for part in digest.chunks(16) {
        let mut written = [0; 32];
        for (digits, byte) in written.chunks_exact_mut(2).zip(part) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        text.extend_from_slice(&written[..part.len() * 2]);
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "AuditLog(file)" } else { "AuditLog(off)" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_record_is_a_line_of_json_and_all_are_there_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let log = AuditLog::to_file(&path, Metrics::new()).unwrap();
        for number in 0..1000 {
            log.record(&AuditRecord {
                at_millis: 1_700_000_000_042 + number,
                request_id: "r",
                client: "a \"client\"",
                outcome: "ok",
                user: Some(&[0xab; 16]),
                issued_token: Some(&[1, 2]),
                ..AuditRecord::default()
            });
        }
        drop(log);
        let lines = std::fs::read_to_string(&path).unwrap();
        let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), 1000);
        assert_eq!(
            records[0],
            json!({"time": "2023-11-14T22:13:20.042Z", "request_id": "r", "client": "a \"client\"",
                "outcome": "ok", "user": "ab".repeat(16), "issued_token": "0102"})
        );
        assert_eq!(records[999]["time"], "2023-11-14T22:13:21.041Z");
    }

    #[test]
    fn a_record_that_finds_no_room_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Metrics::new();
        let log = AuditLog::to_file(&directory.path().join("audit.jsonl"), metrics.clone()).unwrap();
        let writer = log.0.clone().unwrap();
        {
            let mut buffer = writer.shared.buffer();
            buffer.text.resize(MOST_BYTES + 1, b' ');
        }
        // The thread may have taken it away before: then there is room.
        log.record(&AuditRecord::default());
        let lost = metrics.render().contains("audit_lost_records_total 1");
        drop((writer, log));
        let written = std::fs::read(directory.path().join("audit.jsonl")).unwrap();
        assert_ne!(lost, written.ends_with(b"}\n"), "lost and counted, or written");
    }
}
