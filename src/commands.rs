//! The commands of the program besides `serve`.
//!
//! - [`banner`] what `serve` says when it has started; `summary` the words for settings
//! - [`check`] checks the settings of `serve`, and what they need
//! - [`print_config`] prints the settings of `serve`
//! - [`demo`] answers one prompt in this process
//! - [`keys`] makes API keys
//! - [`tls`] makes self-signed certificates

pub mod banner;
pub mod check;
pub mod demo;
pub mod keys;
pub mod print_config;
mod summary;
pub mod tls;
