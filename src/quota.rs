//! The quotas of Amazon Bedrock: what a call reserves before it is sent, who waits for it, and what it has cost.
//!
//! [`crate::failover`] reserves at a target before each attempt, and [`crate::response::reader`] settles when the answer ends.
//!
//! - `sharing` shares quotas with other servers: `slots` the shares in Redis
//! - [`codes`] reads quotas from AWS Service Quotas
//! - [`settings`] quotas, prices and budgets as they are configured
//! - [`demand`] what a call asks for, and what Bedrock charges
//! - [`ledger`] all quotas, who has what of them, and who waits
//! - `model` the quota of one model in one region: `safe_share` what throttles leave of it,
//!   `fair_queue` who waits, `input_ratio` how it counts tokens
//! - [`billing`] what an answer says of its quota and its cost
//! - [`budget`] what callers may spend in a day and in a month

pub(crate) mod billing;
pub(crate) mod budget;
pub(crate) mod codes;
pub(crate) mod demand;
mod fair_queue;
mod input_ratio;
pub(crate) mod ledger;
mod model;
mod safe_share;
pub mod settings;
pub(crate) mod sharing;
pub(crate) mod slots;

#[cfg(test)]
mod tests;
