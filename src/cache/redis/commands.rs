//! What is asked of Redis. One hash holds all entries of a user and the locks of those who obtain them, so that a purge is
//! one key, and takes the locks too: whoever held one cannot keep what it obtained before the purge.

use redis::Cmd;

use super::super::{CacheKey, MAX_ENTRIES_OF_A_USER};

/// Where replicas tell each other what is gone and what is there.
pub(in super::super) const CHANNEL: &str = "mcx:invalidate";
/// The generations that all replicas agree on.
pub(super) const GENERATIONS: &str = "mcx:generations";

/// Takes the lock of an entry unless somebody has it, and leaves a note to be told if so. One that would last longer than
/// any lock is none: a clock was set, or a hand was in the store.
/// A value of another type, which somebody has put in this place, is taken away.
/// Answers the entry as it is, and for how many milliseconds somebody else may hold the lock; 0: it is ours.
const CLAIM: &str = "
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local entry = redis.call('HGET', KEYS[1], ARGV[1])
local lock = redis.call('HGET', KEYS[1], ARGV[2])
if lock then
  local left = (tonumber(string.sub(lock, 24)) or 0) - now
  if left > 0 and left <= tonumber(ARGV[4]) then
    redis.call('HSET', KEYS[1], ARGV[2], string.sub(lock, 1, 22) .. 'w' .. string.sub(lock, 24))
    return {entry, left}
  end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. '-' .. string.format('%.0f', now + ARGV[4]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return {entry, 0}";

/// Keeps an entry for as long as stated, if the lock is still ours, and gives the lock back. A user with too many entries
/// begins anew; the locks of others, whose fields are a byte longer, stay.
const KEEP: &str = "
local lock = redis.call('HGET', KEYS[1], ARGV[2])
if not lock or string.sub(lock, 1, 22) ~= ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[6]) then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if #field == 16 then redis.call('HDEL', KEYS[1], field) end
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
if string.sub(lock, 23, 23) == 'w' then redis.call('PUBLISH', ARGV[7], 'd' .. ARGV[1]) end
return 1";

/// Replaces the entry, if the lock is still ours.
const REPLACE: &str = "
local lock = redis.call('HGET', KEYS[1], ARGV[2])
if not lock or string.sub(lock, 1, 22) ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
return 1";

/// Gives the lock back if it is still ours.
const RELEASE: &str = "
local lock = redis.call('HGET', KEYS[1], ARGV[2])
if not lock or string.sub(lock, 1, 22) ~= ARGV[3] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[2])
if string.sub(lock, 23, 23) == 'w' then redis.call('PUBLISH', ARGV[4], 'd' .. ARGV[1]) end
return 1";

/// Holds the lock longer, if it is still ours.
const EXTEND: &str = "
local lock = redis.call('HGET', KEYS[1], ARGV[1])
if not lock or string.sub(lock, 1, 22) ~= ARGV[2] then return 0 end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.sub(lock, 1, 23) .. string.format('%.0f', now + ARGV[3]))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 1";

/// The fields of one entry in its user's hash.
pub(super) struct Place {
    /// The user's hash.
    pub(super) key: Vec<u8>,
    entry: [u8; 16],
    lock: [u8; 17],
}

impl Place {
    pub(super) fn of(key: Vec<u8>, place: &CacheKey) -> Self {
        let mut lock = [b'l'; 17];
        lock[1..].copy_from_slice(&place.entry);
        Self { key, entry: place.entry, lock }
    }

    pub(super) fn get(&self) -> Cmd {
        // On every request that looks here: no growing.
        let mut command = Cmd::with_capacity(3, 4 + self.key.len() + self.entry.len());
        command.arg("HGET").arg(&self.key).arg(&self.entry);
        command
    }

    pub(super) fn claim(&self, token: &str, millis: u64) -> Cmd {
        let mut command = script(CLAIM, &self.key);
        command.arg(&self.entry).arg(&self.lock).arg(token).arg(millis);
        command
    }

    pub(super) fn keep(&self, token: &str, sealed: &[u8], millis: u64) -> Cmd {
        let mut command = script(KEEP, &self.key);
        command.arg(&self.entry).arg(&self.lock).arg(token).arg(sealed).arg(millis);
        command.arg(MAX_ENTRIES_OF_A_USER).arg(CHANNEL);
        command
    }

    pub(super) fn replace(&self, token: &str, sealed: &[u8]) -> Cmd {
        let mut command = script(REPLACE, &self.key);
        command.arg(&self.entry).arg(&self.lock).arg(token).arg(sealed);
        command
    }

    pub(super) fn release(&self, token: &str) -> Cmd {
        let mut command = script(RELEASE, &self.key);
        command.arg(&self.entry).arg(&self.lock).arg(token).arg(CHANNEL);
        command
    }

    pub(super) fn extend(&self, token: &str, millis: u64) -> Cmd {
        let mut command = script(EXTEND, &self.key);
        command.arg(&self.lock).arg(token).arg(millis);
        command
    }

    pub(super) fn remove(&self) -> Cmd {
        let mut command = redis::cmd("HDEL");
        command.arg(&self.key).arg(&self.entry);
        command
    }

    /// Its lock too: what is being obtained for it is not kept.
    pub(super) fn purge(&self) -> Cmd {
        let mut command = self.remove();
        command.arg(&self.lock);
        command
    }
}

/// The text goes along each time: they are short, seldom needed, and a server that was restarted knows none.
fn script(text: &str, key: &[u8]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text.trim_start()).arg(1).arg(key);
    command
}

/// What one replica tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Message {
    /// A user's entries are gone.
    User([u8; 16]),
    /// One entry is gone.
    Entry(CacheKey),
    /// The generations have changed.
    Generations,
    /// The lock of this entry was given back: it is there, or nobody could obtain it.
    Released([u8; 16]),
    /// Nothing but that messages arrive.
    Beat,
}

impl Message {
    pub(in super::super) fn publish(self) -> Cmd {
        let mut command = redis::cmd("PUBLISH");
        command.arg(CHANNEL).arg(self.to_bytes());
        command
    }

    fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::User(user) => [b"u".as_slice(), &user].concat(),
            Self::Entry(key) => [b"e".as_slice(), &key.user, &key.entry].concat(),
            Self::Generations => b"g".to_vec(),
            Self::Released(entry) => [b"d".as_slice(), &entry].concat(),
            Self::Beat => b"b".to_vec(),
        }
    }

    /// `None`: not one of ours.
    pub(in super::super) fn parse(text: &[u8]) -> Option<Self> {
        let (kind, rest) = text.split_first()?;
        match kind {
            b'u' => rest.try_into().ok().map(Self::User),
            b'e' => {
                let (user, entry) = rest.split_first_chunk()?;
                entry.try_into().ok().map(|entry| Self::Entry(CacheKey { user: *user, entry }))
            }
            b'd' => rest.try_into().ok().map(Self::Released),
            b'g' if rest.is_empty() => Some(Self::Generations),
            b'b' if rest.is_empty() => Some(Self::Beat),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_published_is_one_message_or_none(
            kind in prop_oneof![any::<u8>(), prop::sample::select(b"uedgb".to_vec())],
            length in prop_oneof![Just(0_usize), Just(16), Just(32), 0_usize..40],
            rest in prop::collection::vec(any::<u8>(), 40),
        ) {
            let text = [&[kind], &rest[..length]].concat();
            if let Some(message) = Message::parse(&text) {
                prop_assert_eq!(message.to_bytes(), text);
            }
            prop_assert_eq!(Message::parse(&[]), None);
        }
    }
}
