//! Profiles: defaults of flags, by name, in `~/.config/outcrop/client.toml`. A flag and its variable have precedence over a profile.
//!
//! What identifies the caller goes only to the endpoint of its profile: if a flag or a variable names another endpoint, the certificate and the
//! API key of the profile are left out.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Args, Command, parser::ValueSource};
use outcrop_secret_file::{SecretString, read_secret};
use serde::Deserialize;

use super::connection::API_KEY;

/// Which profile.
#[derive(Clone, Debug, Default, Args)]
pub struct ProfileArgs {
    /// The profile with the defaults of other flags [default: `default-profile` of the file, or the profile `default`]
    #[arg(long, global = true, env = "OUTCROP_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// The file with the profiles [default: ~/.config/outcrop/client.toml]
    #[arg(long, global = true, env = "OUTCROP_CLIENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    default_profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// The defaults of a profile. It has no `Debug`, which would show the API key.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Profile {
    endpoint: Option<String>,
    model: Option<String>,
    system: Option<String>,
    max_tokens: Option<i32>,
    temperature: Option<f32>,
    timeout: Option<String>,
    retry: Option<u32>,
    color: Option<String>,
    images: Option<PathBuf>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    api_key_file: Option<PathBuf>,
    api_key: Option<String>,
}

/// A command with the defaults of a profile.
#[expect(missing_debug_implementations, reason = "it has a secret, and nothing prints it")]
pub struct WithProfile {
    /// The command.
    pub command: Command,
    /// The API key of the profile.
    pub api_key: Option<SecretString>,
    /// Where the defaults come from, for messages.
    pub origin: String,
}

/// Adds the defaults of the profile that the arguments name. `None` if there is no profile.
///
/// # Errors
/// If a file or a profile is named that does not exist, if the file is invalid, or if it has an API key and others can read it.
pub fn with_profile(command: Command, matches: &ArgMatches) -> Result<Option<WithProfile>, String> {
    let given = matches.get_one::<PathBuf>("config").cloned();
    let name = matches.get_one::<String>("profile").cloned();
    let is_demanded = given.is_some() || name.is_some();
    let Some(path) = given.or_else(default_path).filter(|path| is_demanded || path.exists()) else {
        return if is_demanded {
            Err("there is no HOME to look for profiles in. Name a file with --config".to_owned())
        } else {
            Ok(None)
        };
    };
    let file = read(&path)?;
    let name = name.or(file.default_profile);
    let profile = match (name.as_deref(), file.profiles.get(name.as_deref().unwrap_or("default"))) {
        (_, Some(profile)) => profile.clone(),
        (None, None) => return Ok(None),
        (Some(name), None) => {
            let names: Vec<_> = file.profiles.keys().map(String::as_str).collect();
            return Err(format!("{} has no profile {name:?}. It has: {}", path.display(), names.join(", ")));
        }
    };
    let origin = format!("the profile {:?} of {}", name.as_deref().unwrap_or("default"), path.display());
    let is_elsewhere = matches.value_source("endpoint") != Some(ValueSource::DefaultValue);
    let has_own_endpoint = profile.endpoint.is_some();
    let mut profile = in_folder(profile, path.parent().unwrap_or(Path::new(".")));
    if is_elsewhere && has_own_endpoint {
        (profile.cert, profile.key, profile.api_key_file, profile.api_key) = (None, None, None, None);
    }
    if env::var_os(API_KEY).is_some_and(|key| !key.is_empty()) {
        (profile.api_key_file, profile.api_key) = (None, None);
    }
    let api_key = profile.api_key.take().map(SecretString::from);
    Ok(Some(WithProfile { command: defaults(command, &values(&profile)), api_key, origin }))
}

fn default_path() -> Option<PathBuf> {
    let folder = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = folder.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")))?;
    Some(folder.join("outcrop/client.toml"))
}

fn read(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read the profiles in {shown}: {error}"))?;
    let file: File = toml::from_str(&text).map_err(|error| {
        // The text of the line is left out, because it can have a key.
        let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
        format!("{shown}, line {line}: {}", error.message())
    })?;
    if file.profiles.values().any(|profile| profile.api_key.is_some()) {
        read_secret(path).map_err(|error| format!("{shown} has an api-key and {error}; or write api-key-file"))?;
    }
    Ok(file)
}

/// The profile with paths that begin at the folder of its file, or at `~/`.
fn in_folder(mut profile: Profile, folder: &Path) -> Profile {
    let Profile { images, ca, cert, key, api_key_file, .. } = &mut profile;
    for path in [images, ca, cert, key, api_key_file].into_iter().flatten() {
        let home = env::var_os("HOME").map(PathBuf::from);
        *path = match (path.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => folder.join(&*path),
        };
    }
    profile
}

/// The names of arguments with their defaults.
fn values(profile: &Profile) -> Vec<(&'static str, String)> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let values = [
        ("endpoint", profile.endpoint.clone()),
        ("model", profile.model.clone()),
        ("system", profile.system.clone()),
        ("max_tokens", profile.max_tokens.map(|number| number.to_string())),
        ("temperature", profile.temperature.map(|number| number.to_string())),
        ("timeout", profile.timeout.clone()),
        ("retry", profile.retry.map(|number| number.to_string())),
        ("color", profile.color.clone()),
        ("images", path(&profile.images)),
        ("ca", path(&profile.ca)),
        ("cert", path(&profile.cert)),
        ("key", path(&profile.key)),
        ("api_key_file", path(&profile.api_key_file)),
    ];
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// The command and its subcommands with these defaults.
fn defaults(mut command: Command, values: &[(&'static str, String)]) -> Command {
    for (name, value) in values {
        if command.get_arguments().any(|argument| argument.get_id() == *name) {
            command = command.mut_arg(name, |argument| argument.default_value(value.clone()));
        }
    }
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, |command| defaults(command, values)))
}
