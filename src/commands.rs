//! The commands of the program besides `serve`.
//!
//! - [`check`] checks the settings of `serve`, and what they need
//! - [`print_config`] prints the settings of `serve`
//! - [`demo`] answers one prompt in this process
//! - [`keys`] makes API keys
//! - [`tls`] makes self-signed certificates

pub mod check;
pub mod demo;
pub mod keys;
pub mod print_config;
pub mod tls;
