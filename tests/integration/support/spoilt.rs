//! Something good with one thing changed.

use proptest::prelude::*;

/// How it is spoilt.
#[derive(Debug, Clone)]
pub(crate) enum Spoilt {
    Replaced(usize, u8),
    Inserted(usize, u8),
    Removed(usize),
    Cut(usize),
    Doubled(usize),
}

impl Spoilt {
    /// In every way, with such bytes.
    pub(crate) fn with(byte: impl Strategy<Value = u8> + Clone) -> impl Strategy<Value = Self> {
        prop_oneof![
            (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Self::Replaced(at, byte)),
            (any::<usize>(), byte).prop_map(|(at, byte)| Self::Inserted(at, byte)),
            any::<usize>().prop_map(Self::Removed),
            any::<usize>().prop_map(Self::Cut),
            any::<usize>().prop_map(Self::Doubled),
        ]
    }

    /// The spoilt one.
    pub(crate) fn of(&self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        let length = bytes.len().max(1);
        match *self {
            Self::Replaced(at, byte) => {
                bytes.splice(at % length..(at % length + 1).min(good.len()), [byte]);
            }
            Self::Inserted(at, byte) => bytes.insert(at % (good.len() + 1), byte),
            Self::Removed(at) => drop(bytes.drain(at % length..(at % length + 1).min(good.len()))),
            Self::Cut(at) => bytes.truncate(at % length),
            Self::Doubled(at) => bytes.extend_from_within((at % length).min(good.len())..),
        }
        bytes
    }
}
