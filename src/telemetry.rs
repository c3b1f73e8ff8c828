//! What the server tells about its calls and itself.
//!
//! - [`call`] a call from its first header to its end, which tells the log, the metrics and the audit log
//! - `event` the one event of a call in the log
//! - [`logs`] the log lines and their filter
//! - `observer` what a collector is told about calls
//! - [`otlp`] sends traces and metrics to a collector
//! - [`queue`] the time of a call in the queue

pub(crate) mod call;
mod event;
pub mod logs;
pub(crate) mod observer;
pub mod otlp;
pub(crate) mod queue;

#[cfg(test)]
mod tests;
