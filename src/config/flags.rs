//! The flags of the commands as clap describes them.

use clap::{
    Arg, ArgAction, ArgMatches, CommandFactory,
    builder::{BoolishValueParser, Resettable::Reset},
};

use super::Cli;

/// The flag that names the configuration file.
pub(super) const CONFIG: &str = "config";

/// The variable for the password of Redis. There is no flag for it, because other users can read arguments.
pub(super) const PASSWORD: &str = "OUTCROP_CONVERSATIONS_PASSWORD";

/// The commands whose settings the file has.
pub(super) const CONFIGURED: [&str; 3] = ["serve", "check", "config"];

/// The flag of `config` that is no setting.
const SAMPLE: &str = "sample";

/// Why a flag does not take this value, if it does not.
pub(super) fn refusal(arg: &Arg, text: &str) -> Option<String> {
    // Without what it says about other flags.
    let alone = arg.clone().env(Reset).requires(Reset).conflicts_with(Reset).overrides_with(Reset).required(false);
    let alone = clap::Command::new("outcrop").no_binary_name(true).arg(alone);
    let error = alone.try_get_matches_from([format!("--{}={text}", long(arg))]).err()?;
    if is_boolean(arg) {
        return Some(format!("is {text:?}; it must be true or false"));
    }
    let said = error.to_string();
    // The first line repeats the value and the flag. Without details, the next ones name the values that are possible.
    let line = said.lines().find(|line| line.contains("possible values")).or_else(|| said.lines().next());
    let detail = line.map(|line| line.rsplit("': ").next().unwrap_or(line).trim()).unwrap_or_default();
    Some(format!("is {text:?}, which cannot be used: {detail}"))
}

/// The command line of the program.
pub(super) fn command() -> clap::Command {
    CONFIGURED
        .iter()
        .fold(Cli::command(), |command, name| command.mut_subcommand(name, |command| command.mut_args(boolean)))
}

/// A flag that is true or false takes a value, so that `--local=false` can replace what the environment or the file says.
fn boolean(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_name("true|false")
        .value_parser(BoolishValueParser::new())
}

/// Whether a flag, after [`boolean`], is true or false.
pub(super) fn is_boolean(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == std::any::TypeId::of::<bool>()
}

/// All flags of a command, with those of the program.
pub(super) fn arguments(name: &str) -> Vec<Arg> {
    let mut command = command();
    command.build();
    let arguments = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    let settings = arguments.filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version" | SAMPLE));
    settings.filter(|arg| arg.get_long().is_some()).cloned().collect()
}

/// Whether a flag can be given several times.
pub(super) fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The key of a flag in the configuration file.
pub(super) fn key(arg: &Arg) -> String {
    long(arg).replace('-', "_")
}

/// The name of a flag, without its hyphens.
pub(super) fn long(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().to_owned()
}

/// The values of a flag as texts.
pub(super) fn raw(settings: &ArgMatches, arg: &Arg) -> Option<Vec<String>> {
    let id = arg.get_id().as_str();
    if is_boolean(arg) {
        // `1`, `yes` and `true` are the same.
        return settings.get_one::<bool>(id).map(|value| vec![value.to_string()]);
    }
    Some(settings.get_raw(id)?.map(|value| value.to_string_lossy().into_owned()).collect())
}
