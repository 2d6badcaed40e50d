//! Everything that is tested from outside: the rules of the source tree, the servers that the tests start, the broker.
#![expect(clippy::unwrap_used, reason = "tests and their harness fail by panicking")]

mod layers;
