//! Prints all settings as a configuration file: those in force with the place where each comes from, and the sample with the defaults.

use std::fmt::Write;

use clap::Arg;
use toml::Value;

use super::{
    flags::{CONFIG, arguments, is_boolean, is_list, key, long},
    layers::Layers,
};

/// The width of comments.
const WIDTH: usize = 110;

/// The end of the sample: what has no flag.
const BLOCKS: &str = include_str!("listing/blocks.toml");

/// The head of the sample.
const HEAD: &str = "\
# The configuration of `outcrop serve`. Every flag `--some-flag` is a key `some_flag` here, and a variable `OUTCROP_SOME_FLAG`, which
# is in the plural for a list. A flag on the command line replaces the variable, which replaces the key, which replaces the default.
#
# The settings are commented out with one `#` and have their defaults; \"\" is a setting without a value. `outcrop config --sample` prints this
# file, `outcrop check --config FILE` checks one, and `outcrop config --config FILE` prints what is in force and where it comes from.
";

/// The settings in force, each with its origin in a comment. It has no secrets: passwords in addresses are replaced by `***`.
pub fn in_force(layers: &Layers) -> String {
    let mut text = String::new();
    let (mut routes, mut heading) = (String::new(), None);
    for arg in settings() {
        let origin = layers.origins.described(&long(&arg));
        let values = layers.values.get(&long(&arg)).cloned().unwrap_or_default();
        let values: Vec<_> = values.iter().map(|value| redacted(value)).collect();
        if long(&arg) == "route" {
            for route in &values {
                let (name, targets) = route.split_once('=').unwrap_or((route, ""));
                let targets = targets.split(',').map(|target| Value::String(target.trim().to_owned()));
                let _ = writeln!(routes, "{} = {}", quoted(name.trim()), Value::Array(targets.collect()));
            }
            if !values.is_empty() {
                routes = format!("\n# {origin}\n[routes]\n{routes}");
            }
            continue;
        }
        begin(&mut text, &mut heading, &arg);
        if values.is_empty() && !is_list(&arg) {
            let default = documented_default(&arg).unwrap_or_else(|| "none".to_owned());
            let _ = writeln!(text, "# {} is not set: {default}", key(&arg));
        } else {
            let _ = writeln!(text, "{} = {}  # {origin}", key(&arg), written(&arg, &values));
        }
    }
    let blocks = layers.file.as_ref().map(|file| file.blocks.as_str()).unwrap_or_default();
    format!("{}{routes}{blocks}", text.trim_start())
}

/// A configuration file with every setting, its description and its default, all commented out.
pub fn sample() -> String {
    let mut text = HEAD.to_owned();
    let mut heading = None;
    for arg in settings().into_iter().filter(|arg| long(arg) != "route") {
        begin(&mut text, &mut heading, &arg);
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push('\n');
        comment(&mut text, &help);
        let defaults: Vec<_> =
            arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
        let _ = writeln!(text, "#{} = {}", key(&arg), written(&arg, &defaults));
    }
    text + BLOCKS
}

/// All settings, by group.
fn settings() -> Vec<Arg> {
    let mut settings = arguments("serve");
    settings.retain(|arg| long(arg) != CONFIG && !arg.is_hide_set());
    // A stable sort: the order within a group stays, and groups stay in the order in which they begin.
    let order: Vec<_> = settings.iter().map(|arg| arg.get_help_heading().map(str::to_owned)).collect();
    settings.sort_by_key(|arg| {
        order.iter().position(|heading| heading.as_deref() == arg.get_help_heading()).unwrap_or_default()
    });
    settings
}

/// Writes the heading of the group of a setting, if another group begins.
fn begin(text: &mut String, heading: &mut Option<String>, arg: &Arg) {
    let own = arg.get_help_heading().unwrap_or("Options").to_owned();
    if heading.as_ref() != Some(&own) {
        let _ = writeln!(text, "\n## {own}");
        *heading = Some(own);
    }
}

/// Writes a text as lines of a comment.
fn comment(text: &mut String, help: &str) {
    let mut line = String::from("#");
    for word in help.split_whitespace() {
        if line.len() + word.len() + 1 > WIDTH && line.len() > 1 {
            let _ = writeln!(text, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// The default that the help of a flag describes: `[default: half of --max-connections]`.
fn documented_default(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, rest) = help.rsplit_once("[default")?;
    Some(rest.trim_start_matches(':').trim_end_matches(']').trim().to_owned())
}

/// A value as TOML has it.
fn written(arg: &Arg, values: &[String]) -> String {
    let single = |value: &String| match value.parse::<i64>() {
        Ok(number) if number.to_string() == *value => Value::Integer(number),
        _ => Value::String(value.clone()),
    };
    if is_list(arg) {
        return Value::Array(values.iter().cloned().map(Value::String).collect()).to_string();
    }
    match values.first() {
        Some(value) if is_boolean(arg) => (value == "true").to_string(),
        Some(value) => single(value).to_string(),
        None => "\"\"".to_owned(),
    }
}

/// A key as TOML has it.
fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        Value::String(name.to_owned()).to_string()
    }
}

/// A value without the password of an address.
fn redacted(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    match rest.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
        Some((user, host)) => format!("{scheme}://{user}:***@{host}"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
