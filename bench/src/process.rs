//! The programs as processes, and what the system counts for them: processor time and memory.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::{time::ClockId, unistd::Pid};

use crate::Failure;

/// What resets the peak of the memory of a process when it is written to `clear_refs`.
const RESET_PEAK: &str = "5";

/// A program that has said where it listens. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Program {
    process: Running,
    /// Kept open for what else it prints.
    _output: Option<BufReader<ChildStdout>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// A process. Dropping it kills it, also if it has not said where it listens.
#[derive(Debug)]
struct Running(Child);

impl Program {
    /// Starts a program, which prints `listening on ADDRESS` when it is ready.
    ///
    /// # Errors
    /// If it does not start, or prints something else.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut process = Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
        let mut line = String::new();
        let mut output = process.0.stdout.take().map(BufReader::new);
        if let Some(output) = &mut output {
            output.read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| format!("{command:?} printed {line:?} and not its address"))?;
        Ok(Self { process, _output: output, address })
    }

    /// The processor time that the process has taken, in the program and in the kernel, in all its threads, also those that have ended.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn processor_time(&self) -> Result<Duration, Failure> {
        let pid = Pid::from_raw(self.process.0.id().try_into()?);
        Ok(ClockId::pid_cpu_clock_id(pid)?.now()?.into())
    }

    /// The resident memory, in bytes.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn memory(&self) -> Result<usize, Failure> {
        self.status("VmRSS:")
    }

    /// The most resident memory since [`Self::reset_peak`], in bytes.
    ///
    /// # Errors
    /// If the process is gone.
    pub(crate) fn peak(&self) -> Result<usize, Failure> {
        self.status("VmHWM:")
    }

    /// Measures the peak from now on.
    ///
    /// # Errors
    /// If the process is gone, or the system does not allow it.
    pub(crate) fn reset_peak(&self) -> Result<(), Failure> {
        Ok(fs::write(self.file("clear_refs"), RESET_PEAK)?)
    }

    fn status(&self, name: &str) -> Result<usize, Failure> {
        let status = fs::read_to_string(self.file("status"))?;
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok());
        let kibibytes: usize = kibibytes.ok_or_else(|| format!("the process has no {name} in its status"))?;
        Ok(kibibytes * 1024)
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.process.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that has ended by itself needs neither.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command of a part of this program.
///
/// # Errors
/// If the path of this program is not known.
pub(crate) fn part(name: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["part", name]);
    Ok(command)
}

/// The processor time of this process.
///
/// # Errors
/// If there is no clock for it.
pub(crate) fn own_processor_time() -> Result<Duration, Failure> {
    Ok(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?.into())
}
