//! What operators see: logs and metrics. No token, no secret, no user.

pub mod logs;
pub mod metrics;
