//! What benchmarks of the real binary need: servers as child processes, and requests on loopback.

pub(crate) mod installed;
pub(crate) mod interrupt;
pub(crate) mod loopback;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod redis;
pub(crate) mod request;
pub(crate) mod served;
