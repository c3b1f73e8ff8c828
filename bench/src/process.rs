//! The programs as processes, and the processor time that the system counts for them.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::Failure;

/// `/proc` counts processor time in ticks, of which a second has so many.
const TICKS: u32 = 100;

/// A program that has said where it listens. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    process: Child,
    /// Kept open for what else it prints.
    _output: Option<BufReader<ChildStdout>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts a program, which prints `listening on ADDRESS` when it is ready.
    ///
    /// # Errors
    /// If it does not start, or prints something else.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let mut output = process.stdout.take().map(BufReader::new);
        if let Some(output) = &mut output {
            output.read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        match address {
            Some(address) => Ok(Self { process, _output: output, address }),
            None => {
                process.kill()?;
                Err(format!("{command:?} printed {line:?} and not its address").into())
            }
        }
    }

    /// Starts a part of this program.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn of_this(arguments: &[&str]) -> Result<Self, Failure> {
        Self::start(Command::new(std::env::current_exe()?).args(arguments))
    }

    /// The processor time that the process has taken, in the program and in the kernel.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<_> = after_name.split_whitespace().collect();
        let [user, system] = [fields.get(11), fields.get(12)].map(|field| field.and_then(|field| field.parse().ok()));
        let ticks: u32 = user.zip(system).map(|(user, system): (u32, u32)| user + system).ok_or("no times in stat")?;
        Ok(Duration::from_secs(1) * ticks / TICKS)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A process that has ended by itself needs neither.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
