//! The commands of the program besides `serve`.
//!
//! - [`demo`] answers one prompt in this process
//! - [`keys`] makes API keys
//! - [`tls`] makes self-signed certificates

pub mod demo;
pub mod keys;
pub mod tls;
