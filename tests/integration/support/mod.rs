//! The servers that the tests talk to: real ones, each on a free loopback port, gone when its value is dropped.

pub(crate) mod process;
pub(crate) mod redis;
