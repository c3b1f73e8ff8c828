//! `outcrop config`: prints the settings that `serve` would have, and where each comes from.

use std::{
    error::Error,
    io::{Write, stdout},
    process::ExitCode,
};

use crate::{
    config::{Layers, ServeArgs, in_force, sample},
    edge::descriptors::raise_file_limit,
};

/// Prints the settings in force, or the sample of a configuration file.
///
/// # Errors
/// If the settings have problems, or the output is closed.
pub fn run(args: ServeArgs, wants_sample: bool, layers: &Layers) -> Result<ExitCode, Box<dyn Error>> {
    let text = if wants_sample {
        sample()
    } else {
        raise_file_limit();
        // What cannot be used is not printed: an unknown key can have a secret.
        args.resolve(layers)?;
        in_force(layers)
    };
    stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
