//! The configuration file, `outcrop.toml`: reads it, and knows the line of every key.
//!
//! - `section` reads the keys of a table and reports the ones that it does not know
//! - `values` the top-level keys, which are named after the flags
//! - `caller`, `issuer`, `alias`, `quota` the blocks `[[caller]]`, `[[issuer]]`, `[alias.NAME]`, `[[quota]]` and `[price."MODEL"]`
//! - `amount` numbers with a range, and amounts of money
//! - `syntax` the forms of single values: names, hashes, times, URIs
//!
//! Nothing here stops at the first problem: everything that is wrong with a file is reported at once.

mod alias;
mod amount;
mod caller;
mod issuer;
mod quota;
mod section;
mod syntax;
mod values;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs::File,
    io::{self, Read},
};

use aws_lc_rs::digest::{SHA256, digest};
use toml::{
    Spanned, Table, Value as Toml,
    de::{DeTable, DeValue},
};

pub(crate) use self::syntax::name as caller_name;
pub(super) use self::{
    alias::AliasBlock,
    section::meant,
    values::{Known, Value},
};
use self::{
    section::{Problem, Section},
    values::MISPLACED,
};
use crate::{
    identity::settings::IdentitySettings,
    quota::settings::{ModelQuota, Price},
};

/// The maximum size of the file, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// The SHA-256 of a file, or of the reason why it cannot be read.
pub(super) type ContentHash = [u8; 32];

/// What the file says.
#[derive(Clone, Default)]
pub(super) struct ConfigFile {
    /// The path as it was given.
    pub(super) path: String,
    /// The hash of its content.
    pub(super) hash: ContentHash,
    /// The values of flags, by key.
    pub(super) values: BTreeMap<String, Value>,
    /// The callers and the issuers, in the order of the file.
    pub(super) identity: IdentitySettings,
    /// The aliases.
    pub(super) aliases: Vec<AliasBlock>,
    /// Whether a route or an alias could not be read, so that its name and its models are not known.
    pub(super) has_broken_names: bool,
    /// The quotas of models, in the order of the file.
    pub(super) quotas: Vec<ModelQuota>,
    /// The prices of models.
    pub(super) prices: BTreeMap<String, Price>,
    /// The blocks of aliases, quotas, prices, callers and issuers, each with its place in a comment.
    pub(super) blocks: String,
    /// The line of every key, by its path, such as `caller[0].keys[1].sha256`.
    lines: BTreeMap<String, usize>,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
}

impl ConfigFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, as the end of a sentence that begins with its path.
    pub(super) fn read(path: &str) -> Result<String, String> {
        String::from_utf8(read(path)?).map_err(|_| "which is not UTF-8 text".to_owned())
    }

    /// Reads the text of a file. `known` are the settings that it can have.
    pub(super) fn parse(path: &str, text: &str, known: &[Known]) -> Self {
        let mut file = Self { path: path.to_owned(), hash: hash(text), ..Self::default() };
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // What could be read of such a file would only lead to further problems.
            file.problems = errors.iter().map(|error| syntax_problem(path, text, error)).collect();
            return file;
        }
        let starts: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line_of = |at: usize| starts.partition_point(|start| *start < at) + 1;
        index("", document.get_ref(), &line_of, &mut file.lines);
        let mut root = Section::root(document.get_ref());
        file.values = values::read(&mut root, known);
        let callers = root.sections("caller", caller::read);
        file.identity = IdentitySettings { callers, issuers: root.sections("issuer", issuer::read) };
        file.aliases = root.section("alias", alias::read_all).unwrap_or_default();
        file.quotas = root.sections("quota", quota::read);
        file.prices = root.section("price", quota::read_prices).unwrap_or_default();
        file.blocks = file.blocks(text);
        let problems = root.finish();
        let is_of_names = |problem: &Problem| ["routes", "alias"].iter().any(|table| problem.key.starts_with(table));
        file.has_broken_names = problems.iter().any(is_of_names);
        let located = |Problem { key, text, is_unknown }: Problem| {
            let name = key.rsplit_once('.').map(|(_, name)| name);
            let is_misplaced = is_unknown && name.is_some_and(|name| known.iter().any(|known| known.key == name));
            file.located(&key, if is_misplaced { MISPLACED } else { &text })
        };
        file.problems = problems.into_iter().map(located).collect();
        file
    }

    fn blocks(&self, text: &str) -> String {
        let table: Table = text.parse().unwrap_or_default();
        let mut blocks = String::new();
        for kind in ["alias", "price"] {
            for (name, block) in table.get(kind).and_then(Toml::as_table).into_iter().flatten() {
                let place = self.line(&format!("{kind}.{name}")).unwrap_or_default();
                let alone = Table::from_iter([(name.clone(), block.clone())]);
                let alone = Table::from_iter([(kind.to_owned(), Toml::Table(alone))]);
                let _ = write!(blocks, "\n# {}:{place}\n{alone}", self.path);
            }
        }
        for name in ["quota", "caller", "issuer"] {
            let tables = table.get(name).and_then(Toml::as_array).into_iter().flatten();
            for (at, block) in tables.enumerate() {
                let place = self.line(&format!("{name}[{at}]")).unwrap_or_default();
                let alone = Table::from_iter([(name.to_owned(), Toml::Array(vec![block.clone()]))]);
                let _ = write!(blocks, "\n# {}:{place}\n{alone}", self.path);
            }
        }
        blocks
    }

    /// The line of a key, if the file has it.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }

    /// The lines of all keys, by their paths.
    pub(super) fn lines(&self) -> BTreeMap<String, usize> {
        self.lines.clone()
    }

    /// A problem with a key, with the place.
    pub(super) fn located(&self, key: &str, text: &str) -> String {
        let Self { path, .. } = self;
        match self.line(key) {
            Some(line) => format!("{path}:{line}: {key} {text}"),
            None => format!("{path}: {key} {text}"),
        }
    }
}

/// Reads a file of bounded size. The problem is the end of a sentence that begins with the path.
pub(super) fn read(path: &str) -> Result<Vec<u8>, String> {
    let unreadable = |error: io::Error| format!("which cannot be read: {error}");
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("which is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(bytes)
}

/// The hash of a content.
pub(super) fn hash(text: &str) -> ContentHash {
    let mut hash = ContentHash::default();
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}

/// Adds the lines of all keys in a table.
fn index(prefix: &str, table: &DeTable<'_>, line_of: &impl Fn(usize) -> usize, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        lines.insert(path.clone(), line_of(key.span().start));
        index_value(&path, value, line_of, lines);
    }
}

fn index_value(
    path: &str,
    value: &Spanned<DeValue<'_>>,
    line_of: &impl Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) {
    match value.get_ref() {
        DeValue::Table(table) => index(&format!("{path}."), table, line_of, lines),
        DeValue::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let path = format!("{path}[{at}]");
                lines.insert(path.clone(), line_of(item.span().start));
                index_value(&path, item, line_of, lines);
            }
        }
        _ => {}
    }
}

fn syntax_problem(path: &str, text: &str, error: &toml::de::Error) -> String {
    // The messages of the parser can have several lines.
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    match error.span() {
        Some(span) => {
            let line = text.get(..span.start).unwrap_or(text).matches('\n').count() + 1;
            format!("{path}:{line}: {message}")
        }
        None => format!("{path}: {message}"),
    }
}
