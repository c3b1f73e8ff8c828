//! The programs that the benchmark starts, as processes of their own that end with it, however it ends.

use std::{ffi::OsString, net::SocketAddr, os::unix::process::CommandExt, path::PathBuf, process::Command};

use clap::Subcommand;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::runtime::Runtime;

use crate::{Failure, bridge, byte_proxy, collector, upstream};

/// A program.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// The emulator with the answers of the workloads
    Emulator(upstream::Settings),
    /// The floor of a proxy
    ByteProxy {
        /// The address to which requests go
        upstream: SocketAddr,
    },
    /// The floor of a server
    BareBridge(bridge::Settings),
    /// A server over the AWS SDK
    SdkBridge(bridge::Settings),
    /// A collector of traces and metrics
    Collector,
    /// Another program
    Program {
        /// Its path
        path: PathBuf,
        /// Its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

impl Part {
    /// Runs the program until the process is killed.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn run(self) -> Result<(), Failure> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        match self {
            // On runtimes of their own.
            Self::BareBridge(settings) => bridge::bare::serve(settings),
            Self::SdkBridge(settings) => bridge::sdk::serve(settings),
            // In this process, which keeps what it has set.
            Self::Program { path, arguments } => Err(Command::new(path).args(arguments).exec().into()),
            Self::Emulator(settings) => Runtime::new()?.block_on(upstream::serve(settings)),
            Self::ByteProxy { upstream } => Runtime::new()?.block_on(byte_proxy::serve(upstream)),
            Self::Collector => Runtime::new()?.block_on(collector::serve()),
        }
    }
}
