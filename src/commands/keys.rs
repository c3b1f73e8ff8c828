//! `outcrop keys new`: makes an API key. The key goes to standard output once; the server's configuration gets only its hash.

use std::{
    error::Error,
    fs::OpenOptions,
    io::{Write, stderr, stdout},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::SystemTime,
};

use zeroize::Zeroizing;

use crate::{
    config::{KeysCommand, caller_name},
    error::ConfigError,
    identity::key::NewKey,
};

/// Runs a command about keys.
///
/// # Errors
/// If the name or the duration is not valid, if there are no random numbers, or if the output is closed.
pub fn run(command: &KeysCommand) -> Result<(), Box<dyn Error>> {
    let KeysCommand::New { caller, expires_in, sigv4, out } = command;
    caller_name(caller).map_err(|problem| ConfigError(vec![format!("--caller {problem}")]))?;
    let expires = expires_in.as_deref().map(|text| expiry(text, SystemTime::now())).transpose()?;
    let expires = expires.map(|at| format!(", expires = {at}")).unwrap_or_default();
    let key = NewKey::generate()?;
    let secret = key.signing_secret();
    let mut text = Zeroizing::new(key.text().to_owned());
    if let Some(path) = sigv4 {
        append(path, &format!("{} {}", key.id(), secret.as_str()))?;
        let pair = format!("\nAWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}", key.access_key_id(), secret.as_str());
        text.push_str(&pair);
    }
    let place = match out {
        Some(path) => {
            write_new(path, &text)?;
            format!("in {}", path.display())
        }
        None => {
            writeln!(stdout(), "{}", text.as_str())?;
            "on standard output".to_owned()
        }
    };
    writeln!(
        stderr(),
        "# The key is {place}. It is not shown again.\n\
         # Put this line into the `keys` of the [[caller]] with the name {caller:?}:\n    \
         {{ id = \"{}\", sha256 = \"{}\"{expires} }},",
        key.id(),
        key.sha256()
    )?;
    Ok(())
}

/// Writes a key to a file that did not exist, and that only its owner can read.
fn write_new(path: &Path, key: &str) -> Result<(), ConfigError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{key}"))
        .map_err(|error| ConfigError(vec![format!("--out is {}, which cannot be written: {error}", path.display())]))
}

/// Appends a line to the file of --sigv4-keys, which only its owner can read.
fn append(path: &Path, line: &str) -> Result<(), ConfigError> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{line}"))
        .map_err(|error| ConfigError(vec![format!("--sigv4 is {}, which cannot be written: {error}", path.display())]))
}

/// The time after this duration, as TOML has it.
fn expiry(text: &str, now: SystemTime) -> Result<String, ConfigError> {
    let problem = |what: &str| ConfigError(vec![format!("--expires-in is {text:?}; it must be {what}")]);
    let duration = humantime::parse_duration(text.trim()).map_err(|_| problem("a duration such as 90days"))?;
    let at = now.checked_add(duration).filter(|_| !duration.is_zero());
    at.map(|at| humantime::format_rfc3339_seconds(at).to_string()).ok_or_else(|| problem("longer than 0s and shorter"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_expiry_is_a_time_of_toml() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        assert_eq!(expiry("90days", now).unwrap(), "1970-04-02T00:00:00Z");
        for wrong in ["", "soon", "0s", "-1d"] {
            let error = expiry(wrong, now).unwrap_err().to_string();
            assert!(error.contains(&format!("--expires-in is {wrong:?}")), "{error}");
        }
    }
}
