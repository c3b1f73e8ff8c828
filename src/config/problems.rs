//! Parses the values of settings and collects every problem, so that all are reported at once. A problem is written with the flag, such as
//! `--grace is "soon"`, and reported with the name under which the value was given: the flag, the variable, or the line of the file.
//!
//! A value that cannot be parsed is reported and replaced by its type's default. The default is never used: a configuration
//! with problems yields no settings.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    num::NonZeroU32,
    path::Path,
    str::FromStr,
    time::Duration,
};

use outcrop_secret_file::{SecretString, read_secret};

use super::{Layers, origin::Origins};
use crate::{error::ConfigError, identity::key::without_keys};

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    found: Vec<String>,
    origins: &'a Origins,
}

impl<'a> Problems<'a> {
    /// Begins with the problems of the sources themselves.
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { found: layers.problems.clone(), origins: &layers.origins }
    }

    /// Adds a problem that names its flag.
    pub(super) fn add(&mut self, problem: impl AsRef<str>) {
        self.found.push(self.origins.named(problem.as_ref()));
    }

    pub(super) fn extend(&mut self, problems: Vec<String>) {
        for problem in problems {
            self.add(problem);
        }
    }

    /// The settings if there are no problems, else the problems.
    pub(super) fn verdict<T>(self, settings: T) -> Result<T, ConfigError> {
        // A problem quotes the value, which can be a key in the wrong place.
        let found: Vec<_> = self.found.iter().map(|problem| without_keys(problem)).collect();
        if found.is_empty() { Ok(settings) } else { Err(ConfigError(found)) }
    }

    /// Parses a value. `wanted` completes the sentence "it must be …".
    pub(super) fn parse<T: FromStr>(&mut self, flag: &str, value: &str, wanted: &str) -> Option<T> {
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.add(format!("{flag} is {value:?}; it must be {wanted}"));
        }
        parsed
    }

    /// Parses an address with a port. A host name is looked up; an IPv4 address of it is preferred.
    pub(super) fn address(&mut self, flag: &str, value: &str) -> Option<SocketAddr> {
        let text = value.trim();
        if let Ok(address) = text.parse() {
            return Some(address);
        }
        let named = text.rsplit_once(':').filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        // A fuzz target would ask name servers.
        if named.is_none() || cfg!(fuzzing) {
            let wanted = "a host and a port, such as 127.0.0.1:50051 or localhost:50051";
            self.add(format!("{flag} is {value:?}; it must be {wanted}"));
            return None;
        }
        let mut found: Vec<_> = match text.to_socket_addrs() {
            Ok(found) => found.collect(),
            Err(error) => {
                self.add(format!("{flag} is {value:?}, and its host cannot be found: {error}. Write an IP address"));
                return None;
            }
        };
        found.sort_by_key(SocketAddr::is_ipv6);
        found.first().copied()
    }

    /// Parses a whole number of at least 1.
    pub(super) fn at_least_one(&mut self, flag: &str, value: &str) -> usize {
        let wanted = "a whole number of at least 1";
        match self.parse(flag, value, wanted) {
            Some(0) => {
                self.add(format!("{flag} is 0; it must be {wanted}"));
                0
            }
            number => number.unwrap_or_default(),
        }
    }

    /// Parses an optional whole number of at least 1. An empty value counts as unset.
    pub(super) fn some_at_least_one(&mut self, flag: &str, value: Option<&str>) -> Option<usize> {
        value.filter(|value| !value.is_empty()).map(|value| self.at_least_one(flag, value))
    }

    /// Parses an optional rate per minute.
    pub(super) fn rate(&mut self, flag: &str, value: Option<&str>) -> Option<NonZeroU32> {
        let number = self.some_at_least_one(flag, value)?;
        if u32::try_from(number).is_err() {
            self.add(format!("{flag} is {number}; it must be at most {}", u32::MAX));
        }
        NonZeroU32::new(u32::try_from(number).ok()?)
    }

    /// Reads a secret from a file that only its owner can read.
    pub(super) fn secret_file(&mut self, flag: &str, path: &str) -> Option<SecretString> {
        let read = read_secret(Path::new(path));
        read.map_err(|error| self.add(format!("{flag} is {path:?}, which {error}"))).ok()
    }

    /// Parses a duration. `zero_allowed` is for settings in which zero has a meaning.
    pub(super) fn duration(&mut self, flag: &str, value: &str, zero_allowed: bool) -> Duration {
        match humantime::parse_duration(value.trim()) {
            Ok(duration) if duration.is_zero() && !zero_allowed => {
                self.add(format!("{flag} is {value:?}; it must be longer than 0s"));
                duration
            }
            Ok(duration) if duration > MAX_DURATION => {
                self.add(format!("{flag} is {value:?}; it must be at most a year"));
                duration
            }
            Ok(duration) => duration,
            Err(error) => {
                self.add(format!("{flag} is {value:?}; it must be a duration such as 500ms, 30s or 2m ({error})"));
                Duration::default()
            }
        }
    }
}

/// The longest duration of a setting. It is short enough to be added to any `Instant` without overflow.
const MAX_DURATION: Duration = Duration::from_hours(365 * 24);
