//! What the server tells about its calls and itself.
//!
//! - [`call`] a call from its first header to its end, which tells the log, the metrics and the audit log
//! - [`logs`] the log lines and their filter
//! - `observer` what a collector is told about calls
//! - [`otlp`] sends traces and metrics to a collector

pub(crate) mod call;
pub mod logs;
pub(crate) mod observer;
pub mod otlp;
