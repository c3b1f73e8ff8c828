//! The commands of the program besides `serve`.
//!
//! - [`demo`] answers one prompt in this process
//! - [`keys`] makes API keys

pub mod demo;
pub mod keys;
