//! Reads the keys of a table. A key that is not read by the end is not known, and is reported with the key that may be meant.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
    value::Datetime,
};

/// A table of the file that is being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// The path of the table, with a dot at its end unless it is the root.
    prefix: String,
    table: &'a DeTable<'a>,
    /// The keys that were read, which are those that can be there.
    known: Vec<String>,
    problems: Vec<Problem>,
}

/// A problem with a key.
#[derive(Debug)]
pub(super) struct Problem {
    /// The path of the key.
    pub(super) key: String,
    /// The rest of the sentence.
    pub(super) text: String,
    /// Whether the key is not known.
    pub(super) is_unknown: bool,
}

/// A value with its path.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    /// The path of the key.
    pub(super) key: String,
    pub(super) value: T,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a DeTable<'a>) -> Self {
        Self { prefix: String::new(), table, known: Vec::new(), problems: Vec::new() }
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Reports a problem with a key of this table.
    pub(super) fn problem(&mut self, key: &str, text: impl Into<String>) {
        let key = self.path(key);
        self.problem_at(key, text);
    }

    /// Reports a problem with the key of this path.
    pub(super) fn problem_at(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { key: key.into(), text: text.into(), is_unknown: false });
    }

    /// Reports a problem with the table itself.
    pub(super) fn problem_here(&mut self, text: impl Into<String>) {
        let table = self.prefix.trim_end_matches('.').to_owned();
        self.problem_at(table, text);
    }

    /// The value of a key that was checked. A refusal is reported.
    pub(super) fn checked<T>(&mut self, key: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.problem(key, problem)).ok()
    }

    /// Reports a refusal.
    pub(super) fn check(&mut self, key: &str, checked: Result<(), String>) {
        self.checked(key, checked);
    }

    /// Reports a refusal of the key of this path.
    pub(super) fn check_at(&mut self, key: &str, checked: Result<(), String>) {
        if let Err(problem) = checked {
            self.problem_at(key, problem);
        }
    }

    /// Whether the table has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// All keys of the table, with their values. None of them is unknown.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a DeValue<'a>)> + use<'a> {
        self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref()))
    }

    /// The value of a key, whatever it is.
    pub(super) fn value(&mut self, key: &str) -> Option<&'a DeValue<'a>> {
        self.known.push(key.to_owned());
        self.table.get(key).map(Spanned::get_ref)
    }

    pub(super) fn string(&mut self, key: &str) -> Option<&'a str> {
        self.typed(key, "a string", DeValue::as_str)
    }

    /// A string that must be there and not be empty.
    pub(super) fn required(&mut self, key: &str) -> Option<&'a str> {
        let value = self.string(key);
        if value == Some("") {
            self.problem(key, "is empty");
        } else if !self.has(key) {
            self.problem_here(format!("has no {key}. Add {key} = \"...\""));
        }
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", DeValue::as_bool)
    }

    /// A whole number of at least 1.
    pub(super) fn number(&mut self, key: &str) -> Option<u32> {
        self.typed(key, "a whole number of at least 1 and at most 4294967295", |value| {
            let integer = value.as_integer()?;
            u32::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|number| *number > 0)
        })
    }

    /// A number with or without a fraction.
    pub(super) fn decimal(&mut self, key: &str) -> Option<f32> {
        self.typed(key, "a number, such as 0.5", |value| match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        })
    }

    /// A table of values of any type.
    pub(super) fn table(&mut self, key: &str) -> Option<&'a DeTable<'a>> {
        self.typed(key, "a table", DeValue::as_table)
    }

    /// A point in time: a TOML date and time, or a string with one.
    pub(super) fn time(&mut self, key: &str) -> Option<Datetime> {
        let wanted = "a date and time with an offset, such as 2027-01-31T12:00:00Z";
        self.typed(key, wanted, |value| match value {
            DeValue::Datetime(time) => Some(*time),
            DeValue::String(text) => text.parse().ok(),
            _ => None,
        })
    }

    /// A list of strings. Entries that are empty or of another type are reported, and empty in the result.
    pub(super) fn strings(&mut self, key: &str) -> Option<Vec<Placed<String>>> {
        let array = self.typed(key, "a list of strings, such as [\"a\", \"b\"]", DeValue::as_array)?;
        let mut strings = Vec::new();
        for (at, item) in array.iter().enumerate() {
            let key = self.path(&format!("{key}[{at}]"));
            let value = item.get_ref().as_str();
            match value {
                Some("") => self.problem_at(key.clone(), "is empty"),
                Some(_) => {}
                None => self.problem_at(key.clone(), format!("is {}; it must be a string", kind(item.get_ref()))),
            }
            strings.push(Placed { key, value: value.unwrap_or_default().to_owned() });
        }
        Some(strings)
    }

    /// A table of strings.
    pub(super) fn map(&mut self, key: &str) -> Vec<(Placed<String>, String)> {
        let Some(table) = self.typed(key, "a table of strings, such as { a = \"b\" }", DeValue::as_table) else {
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (name, value) in table {
            let key = self.path(&format!("{key}.{}", name.get_ref()));
            match value.get_ref().as_str() {
                Some(value) => entries.push((Placed { key, value: name.get_ref().to_string() }, value.to_owned())),
                None => self.problem_at(key, format!("is {}; it must be a string", kind(value.get_ref()))),
            }
        }
        entries
    }

    /// Reads a table with this function.
    pub(super) fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Section<'a>) -> T) -> Option<T> {
        let table = self.typed(key, "a table", DeValue::as_table)?;
        let path = self.path(key);
        Some(self.child(&path, table, read))
    }

    /// Reads every table of a list with this function.
    pub(super) fn sections<T>(&mut self, key: &str, mut read: impl FnMut(&mut Section<'a>) -> T) -> Vec<T> {
        let wanted = if self.prefix.is_empty() { format!("written [[{key}]]") } else { "a list of tables".to_owned() };
        let Some(array) = self.typed(key, &wanted, DeValue::as_array) else { return Vec::new() };
        let mut read_all = Vec::new();
        for (at, item) in array.iter().enumerate() {
            let path = self.path(&format!("{key}[{at}]"));
            match item.get_ref().as_table() {
                Some(table) => read_all.push(self.child(&path, table, &mut read)),
                None => self.problem_at(path, format!("is {}; it must be a table", kind(item.get_ref()))),
            }
        }
        read_all
    }

    fn child<T>(&mut self, path: &str, table: &'a DeTable<'a>, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let mut child = Section { prefix: format!("{path}."), table, known: Vec::new(), problems: Vec::new() };
        let result = read(&mut child);
        self.problems.extend(child.finish());
        result
    }

    fn typed<T>(&mut self, key: &str, wanted: &str, read: impl FnOnce(&'a DeValue<'a>) -> Option<T>) -> Option<T> {
        let value = self.value(key)?;
        let read = read(value);
        if read.is_none() {
            self.problem(key, format!("is {}; it must be {wanted}", shown(value)));
        }
        read
    }

    /// All problems, with those of keys that were not read.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        for (key, _) in self.entries() {
            if !self.known.iter().any(|known| known == key) {
                let meant = meant(key, self.known.iter().map(String::as_str));
                let text = format!("is not a known key{meant}");
                self.problems.push(Problem { key: self.path(key), text, is_unknown: true });
            }
        }
        self.problems
    }
}

/// The question for what may be meant, as the end of a sentence; otherwise nothing.
pub(in crate::config) fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = |candidate: &&str| strsim::jaro_winkler(word, candidate);
    let best = known.into_iter().map(|candidate| (close(&candidate), candidate));
    match best.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(closeness, _)| *closeness > 0.8) {
        Some((_, candidate)) => format!("; did you mean {candidate}?"),
        None => String::new(),
    }
}

/// A value as a message shows it. API keys are not repeated.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.starts_with("oc_") => "an API key".to_owned(),
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        other => kind(other).to_owned(),
    }
}

/// The type of a value, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
