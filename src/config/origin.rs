//! Where the value of each setting comes from, and how problems name it.

use std::collections::BTreeMap;

/// Where a value comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(String),
    /// The configuration file, under this key in this line.
    File {
        /// The path of the key.
        key: String,
        /// The line, from 1.
        line: usize,
    },
    /// It is built in.
    #[default]
    Default,
}

/// The origins of all settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    /// The path of the configuration file.
    file: String,
    /// By flag, without its hyphens.
    by_flag: BTreeMap<String, Origin>,
    /// The lines of entries in tables of the file, such as `routes.fast`.
    entries: BTreeMap<String, usize>,
}

impl Origins {
    pub(super) fn new(file: String, by_flag: BTreeMap<String, Origin>, entries: BTreeMap<String, usize>) -> Self {
        Self { file, by_flag, entries }
    }

    /// The origin of a setting by its flag, without its hyphens.
    pub(super) fn of(&self, flag: &str) -> &Origin {
        self.by_flag.get(flag).unwrap_or(&Origin::Default)
    }

    /// The problem with each `--flag` in it replaced by the name under which the value was given: the variable, or the key of the file. The
    /// line of the first key is put in front, unless the problem begins with a line of the file.
    pub(super) fn named(&self, problem: &str) -> String {
        let (mut named, mut place, mut rest) = (String::new(), None, problem);
        while let Some(start) = rest.find("--") {
            let flag = rest[start + 2..].split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            let flag = flag.into_iter().next().unwrap_or_default();
            named.push_str(&rest[..start]);
            rest = &rest[start + 2 + flag.len()..];
            match self.of(flag) {
                Origin::Environment(variable) => named.push_str(variable),
                Origin::File { key, line } => {
                    let (key, line, length) = self.entry(key, *line, rest);
                    rest = &rest[length..];
                    place = place.or(Some(line));
                    named.push_str(&key);
                }
                Origin::Flag | Origin::Default => {
                    named.push_str("--");
                    named.push_str(flag);
                }
            }
        }
        named.push_str(rest);
        match place {
            Some(line) if !problem.starts_with(&format!("{}:", self.file)) => format!("{}:{line}: {named}", self.file),
            _ => named,
        }
    }

    /// Where the value of a flag comes from, for people.
    pub(super) fn described(&self, flag: &str) -> String {
        match self.of(flag) {
            Origin::Flag => format!("--{flag}"),
            Origin::Environment(variable) => variable.clone(),
            Origin::File { line, .. } => format!("{}:{line}", self.file),
            Origin::Default => "default".to_owned(),
        }
    }

    /// A problem with a table can name an entry of it, as in `--route fast loops`. Returns the path and the line of the entry, and the length
    /// of its name in the text; otherwise those of the table.
    fn entry(&self, key: &str, line: usize, rest: &str) -> (String, usize, usize) {
        let word = rest.strip_prefix(' ').and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let path = format!("{key}.{word}");
        match self.entries.get(&path) {
            Some(line) => (path, *line, word.len() + 1),
            None => (key.to_owned(), line, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_where_its_values_were_given() {
        let file = |key: &str, line| Origin::File { key: key.to_owned(), line };
        let by_flag = [
            ("grace", Origin::Environment("OUTCROP_GRACE".to_owned())),
            ("max-streams", file("max_streams", 3)),
            ("queue-length", file("queue_length", 5)),
            ("route", file("routes", 7)),
            ("listen", Origin::Flag),
        ];
        let by_flag = by_flag.map(|(flag, origin)| (flag.to_owned(), origin)).into();
        let origins = Origins::new("o.toml".to_owned(), by_flag, [("routes.a.b".to_owned(), 8)].into());
        for (problem, named) in [
            ("--grace is \"x\"", "OUTCROP_GRACE is \"x\""),
            ("--max-streams is 0; raise --queue-length", "o.toml:3: max_streams is 0; raise queue_length"),
            ("o.toml:9: a is more than --max-streams", "o.toml:9: a is more than max_streams"),
            ("--listen is \"x\", not --max-streams", "o.toml:3: --listen is \"x\", not max_streams"),
            ("--route a.b loops", "o.toml:8: routes.a.b loops"),
            ("--route is \"a\"", "o.toml:7: routes is \"a\""),
            ("Add --local -- or not, --", "Add --local -- or not, --"),
        ] {
            assert_eq!(origins.named(problem), named);
        }
    }
}
