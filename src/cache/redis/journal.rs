//! The journal of revocations: a stream that every replica writes to and reads from where it stopped, so that a message
//! that got lost, a Redis that was away and a replica that was restarted change nothing about who is let in.

use redis::aio::ConnectionLike;
use redis::{Cmd, RedisResult};

use std::time::Duration;

use super::super::TokenCache;
use super::super::listener::within;
use super::super::revocations::{MAX_REVOCATIONS, Revocation};
use super::Message;
use crate::clock::Timestamp;

/// The stream.
const JOURNAL: &str = "mcx:revocations";
/// Its only field.
const FIELD: &str = "r";
/// Entries in one command.
const PAGE: usize = 1000;

/// One entry.
struct Entry {
    /// Ascending, and never used again.
    id: String,
    /// `None`: not one of ours.
    revocation: Option<Revocation>,
}

impl Entry {
    /// When it was written, by Redis' clock.
    fn written_at(&self) -> Option<Timestamp> {
        let (millis, _) = self.id.split_once('-')?;
        Some(Timestamp::from_unix_millis(millis.parse().ok()?))
    }
}

/// At most [`PAGE`] entries from `first` on, itself included; `-`: from the beginning.
async fn read(link: &mut impl ConnectionLike, first: &str) -> RedisResult<Vec<Entry>> {
    let mut command = redis::cmd("XRANGE");
    command.arg(JOURNAL).arg(first).arg("+").arg("COUNT").arg(PAGE);
    let entries: Vec<(String, Vec<Vec<u8>>)> = command.query_async(link).await?;
    let entry = |(id, fields): (String, Vec<Vec<u8>>)| {
        let revocation = match fields.as_slice() {
            [field, value] if field == FIELD.as_bytes() => Revocation::from_bytes(value),
            _ => None,
        };
        Entry { id, revocation }
    };
    Ok(entries.into_iter().map(entry).collect())
}

/// Appends revocations, in one round trip. The oldest leave when there are too many.
async fn write(link: &mut impl ConnectionLike, revocations: &[Revocation]) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    for revocation in revocations {
        pipeline.add_command(append(revocation)).ignore();
    }
    pipeline.query_async(link).await
}

/// Appends one.
pub(super) fn append(revocation: &Revocation) -> Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(JOURNAL).arg("MAXLEN").arg("~").arg(MAX_REVOCATIONS).arg("*");
    command.arg(FIELD).arg(&revocation.to_bytes());
    command
}

impl TokenCache {
    /// Tells Redis of the revocations that it lacks, and reads what is new. One command, when there is neither.
    pub(in super::super) async fn agree_on_revocations(
        &self,
        link: &mut impl ConnectionLike,
        patience: Duration,
    ) -> RedisResult<()> {
        let mut position = self.revocations.position();
        let mut to_write = self.revocations.take_unsent();
        let mut page = Vec::new();
        if let Some(last) = &position {
            page = within(patience, read(link, last)).await?;
            if page.first().is_none_or(|entry| entry.id != *last) {
                // It lost what was read, or has come back with older data: what it lacks, it is told again.
                (position, to_write) = (None, self.revocations.all(self.clock.now()));
            }
        }
        self.write_down(link, patience, &to_write).await?;
        if position.is_some() && page.len() < PAGE && to_write.is_empty() {
            self.take_note(&page);
            return Ok(());
        }
        self.read_on(link, patience, position).await
    }

    async fn write_down(
        &self,
        link: &mut impl ConnectionLike,
        patience: Duration,
        revocations: &[Revocation],
    ) -> RedisResult<()> {
        let mut left = revocations;
        while !left.is_empty() {
            let (some, others) = left.split_at(left.len().min(PAGE));
            if let Err(error) = within(patience, write(link, some)).await {
                for unsent in left {
                    self.revocations.keep_unsent(*unsent);
                }
                return Err(error);
            }
            left = others;
        }
        if !revocations.is_empty() {
            within(patience, Message::Generations.publish().query_async::<()>(link)).await?;
        }
        Ok(())
    }

    /// From `position` on; `None`: all there is.
    async fn read_on(
        &self,
        link: &mut impl ConnectionLike,
        patience: Duration,
        position: Option<String>,
    ) -> RedisResult<()> {
        let (from_the_beginning, mut read_so_far) = (position.is_none(), 0);
        let mut first = position.unwrap_or_else(|| "-".to_owned());
        loop {
            let page = within(patience, read(link, &first)).await?;
            if from_the_beginning && read_so_far == 0 {
                self.mind_the_gap(link, patience, page.first()).await?;
            }
            read_so_far += page.len();
            self.take_note(&page);
            match page.last() {
                Some(last) if page.len() == PAGE => first.clone_from(&last.id),
                _ => return Ok(()),
            }
        }
    }

    /// A full journal may have lost its beginning: who was signed out there and then is not known, so nobody who signed in
    /// before counts.
    async fn mind_the_gap(
        &self,
        link: &mut impl ConnectionLike,
        patience: Duration,
        first: Option<&Entry>,
    ) -> RedisResult<()> {
        let mut length = redis::cmd("XLEN");
        length.arg(JOURNAL);
        let length: usize = within(patience, length.query_async(link)).await?;
        if length >= MAX_REVOCATIONS
            && let Some(moment) = first.and_then(Entry::written_at)
        {
            self.revocations.raise_floor(moment);
        }
        Ok(())
    }

    fn take_note(&self, page: &[Entry]) {
        let now = self.clock.now();
        let revocations = page.iter().filter_map(|entry| entry.revocation);
        revocations.for_each(|revocation| self.revocations.add(revocation, now));
        if let Some(last) = page.last() {
            self.revocations.set_position(Some(last.id.clone()));
        }
    }
}
