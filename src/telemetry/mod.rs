//! What operators see: logs, metrics, traces and the audit log. No token, no secret, no user.

pub mod audit;
pub mod logs;
pub mod metrics;
pub mod runbook;
pub mod traces;
