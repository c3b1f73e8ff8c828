//! Puts flags, environment, file and defaults together, in this order of precedence.
//!
//! clap does the work: the value of a variable or, without one, that of the file becomes the default of the flag with the same name. So no
//! setting is listed twice.

use std::{collections::BTreeMap, env, ffi::OsString, fmt};

use clap::{Arg, ArgMatches, FromArgMatches, builder::Resettable::Reset, parser::ValueSource};

use super::{
    Cli,
    file::{ConfigFile, Known},
    flags::{CONFIG, CONFIGURED, arguments, command, is_boolean, is_list, key, long, raw, refusal},
    origin::{Origin, Origins},
    standard::{STANDARD, STANDARD_OF_FLAGS, is_standard, without_effect},
    variables::{self, PREFIX},
};

/// The command line and the environment of the process. They stay the same when the file is read again.
#[derive(Clone, Default)]
pub struct Inputs {
    arguments: Vec<OsString>,
    variables: BTreeMap<String, String>,
}

/// The variables can hold secrets.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").finish_non_exhaustive()
    }
}

/// A value can have a password, as long as it has not been refused for that.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("problems", &self.problems.len()).finish_non_exhaustive()
    }
}

/// Where the values of the settings come from, and what is wrong with the sources themselves.
#[derive(Clone, Default)]
pub struct Layers {
    pub(super) origins: Origins,
    pub(super) file: Option<ConfigFile>,
    pub(super) problems: Vec<String>,
    /// The values of all settings that have one, by flag.
    pub(super) values: BTreeMap<String, Vec<String>>,
    /// Whether they are of a running server.
    pub(super) of_running_server: bool,
    /// The region of a running server.
    pub(super) home: Option<String>,
    /// The standard variables of OpenTelemetry.
    pub(super) standard: BTreeMap<&'static str, String>,
}

impl Layers {
    /// The value of a setting by its flag. `None` if it has none.
    pub(super) fn value(&self, flag: &str) -> Option<&str> {
        self.values.get(flag)?.first().map(String::as_str)
    }

    /// A standard variable of OpenTelemetry, if it is set.
    pub(super) fn standard(&self, name: &str) -> Option<&str> {
        self.standard.get(name).map(String::as_str)
    }
}

impl Inputs {
    /// Those of this process.
    pub fn of_process() -> Self {
        // The others can have secrets, such as those of AWS, and are read where they are needed.
        let text = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX) || is_standard(name))?;
            Some((name, value.to_string_lossy().into_owned()))
        };
        Self { arguments: env::args_os().collect(), variables: env::vars_os().filter_map(text).collect() }
    }

    /// These arguments, of which the first is the name of the program, and these variables.
    pub fn new(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { arguments, variables: variables.into_iter().collect() }
    }

    /// Parses the arguments and reads the configuration file.
    ///
    /// # Errors
    /// What clap prints: an invalid command line, or the help. Problems of the environment and of the file are in the [`Layers`].
    pub fn load(&self) -> Result<(Cli, Layers), clap::Error> {
        self.load_with(ConfigFile::read)
    }

    /// Parses the arguments, and reads the configuration file with this function.
    pub(crate) fn load_with(
        &self,
        read: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(Cli, Layers), clap::Error> {
        // The first pass finds the file. It has flags alone, so that every other problem is reported with all the others.
        let flags = command().mut_args(|arg| arg.env(Reset));
        let flags = CONFIGURED.iter().fold(flags, |command, name| {
            command.mut_subcommand(name, |command| command.mut_args(|arg| arg.env(Reset)))
        });
        let matches = flags.clone().try_get_matches_from(&self.arguments).map_err(|error| {
            // This one has the variables in its help.
            command().try_get_matches_from(&self.arguments).err().unwrap_or(error)
        })?;
        let Some((name, settings)) = matches.subcommand().filter(|(name, _)| CONFIGURED.contains(name)) else {
            return Ok((Cli::from_arg_matches(&matches)?, Layers::default()));
        };
        let mut problems = Vec::new();
        let described = arguments(name);
        let file = self.file(settings, &described, read, &mut problems);
        let mut given = Given { inputs: self, file: file.as_ref(), problems, origins: BTreeMap::new() };
        let defaults: BTreeMap<_, _> =
            described.iter().filter_map(|arg| Some((arg.get_id().to_string(), given.default(arg)?))).collect();
        let with_default = |arg: Arg| match defaults.get(arg.get_id().as_str()) {
            Some(texts) => arg.default_values(texts.clone()),
            None => arg,
        };
        let layered = flags.mut_args(with_default).mut_subcommand(name, |command| command.mut_args(with_default));
        let matches = layered.try_get_matches_from(&self.arguments)?;
        let Given { problems, mut origins, .. } = given;
        let settings = matches.subcommand().map_or(&matches, |(_, settings)| settings);
        for arg in &described {
            if settings.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
                origins.insert(long(arg), Origin::Flag);
            }
        }
        let values = described.iter().filter_map(|arg| Some((long(arg), raw(settings, arg)?))).collect();
        let entries = file.as_ref().map(ConfigFile::lines).unwrap_or_default();
        let path = file.as_ref().map(|file| file.path.clone()).unwrap_or_default();
        let origins = Origins::new(path, origins, entries);
        let standard = STANDARD.iter().filter_map(|name| Some((*name, self.variable(name)?.to_owned()))).collect();
        let layers = Layers { origins, file, problems, values, of_running_server: false, home: None, standard };
        Ok((Cli::from_arg_matches(&matches)?, layers))
    }

    /// The path of the configuration file, and the name under which it was given.
    fn path(&self, settings: &ArgMatches) -> Option<(String, String)> {
        let flag = settings.get_one::<String>(CONFIG).filter(|path| !path.is_empty());
        let flag = flag.map(|path| (path.clone(), format!("--{CONFIG}")));
        let variable = || Some((self.variable("OUTCROP_CONFIG")?.to_owned(), "OUTCROP_CONFIG".to_owned()));
        flag.or_else(variable)
    }

    fn file(
        &self,
        settings: &ArgMatches,
        described: &[Arg],
        read: impl FnOnce(&str) -> Result<String, String>,
        problems: &mut Vec<String>,
    ) -> Option<ConfigFile> {
        let (path, name) = self.path(settings)?;
        let known = |arg: &Arg| Known { key: key(arg), is_boolean: is_boolean(arg), is_list: is_list(arg) };
        let known: Vec<_> = described.iter().filter(|arg| long(arg) != CONFIG).map(known).collect();
        match read(&path) {
            Ok(text) => {
                let file = ConfigFile::parse(&path, &text, &known);
                problems.extend(file.problems.iter().cloned());
                Some(file)
            }
            Err(problem) => {
                problems.push(format!("{name} is {path:?}, {problem}"));
                None
            }
        }
    }

    /// Warnings about the environment: variables that look like settings and are not read.
    pub fn warnings(&self) -> Vec<String> {
        let names = || self.variables.keys().map(String::as_str);
        variables::unknown(names()).into_iter().chain(without_effect(names())).collect()
    }

    /// A variable that is set. An empty one counts as unset, because compose files set empty variables.
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The defaults that environment and file give to flags, while they are collected.
struct Given<'a> {
    inputs: &'a Inputs,
    file: Option<&'a ConfigFile>,
    problems: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

/// A value that environment or file give to a flag.
struct Value {
    texts: Vec<String>,
    origin: Origin,
    /// How a problem names it.
    name: String,
}

impl Given<'_> {
    /// The default of a flag, if the environment or the file has one that the flag can take.
    fn default(&mut self, arg: &Arg) -> Option<Vec<String>> {
        let own = arg.get_env().and_then(|name| name.to_str());
        let standard = || STANDARD_OF_FLAGS.iter().find(|(flag, _)| *flag == long(arg)).map(|(_, name)| *name);
        let value = self.variable(own).or_else(|| self.in_file(arg)).or_else(|| self.variable(standard()));
        let Value { texts, origin, name } = value.filter(|value| !value.texts.is_empty())?;
        if let Some(problem) = texts.iter().find_map(|text| refusal(arg, text)) {
            self.problems.push(format!("{name} {problem}"));
            return None;
        }
        self.origins.insert(long(arg), origin);
        Some(texts)
    }

    /// The value of a variable.
    fn variable(&self, name: Option<&str>) -> Option<Value> {
        let (name, value) = name.and_then(|name| Some((name, self.inputs.variable(name)?)))?;
        let origin = Origin::Environment(name.to_owned());
        Some(Value { texts: vec![value.to_owned()], origin, name: name.to_owned() })
    }

    /// The value of the key of a flag in the file.
    fn in_file(&self, arg: &Arg) -> Option<Value> {
        let file = self.file?;
        let value = file.values.get(&key(arg))?;
        let texts = value.texts.iter().filter(|text| !text.is_empty()).cloned().collect();
        let line = file.line(&value.key)?;
        let name = format!("{}:{line}: {}", file.path, value.key);
        Some(Value { texts, origin: Origin::File { key: value.key.clone(), line }, name })
    }
}
