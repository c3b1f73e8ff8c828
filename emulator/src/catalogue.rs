//! The scripts by model id: `emulator.<name>`.

mod built_in;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{LoadError, ledger::CapturedRequest, recording, script::Script};

/// The prefix of model ids that name a script.
pub const SCRIPT_PREFIX: &str = "emulator.";

/// The prefix of model ids that name a recording: `recording.<folder>/<file without .json>`.
pub const RECORDING_PREFIX: &str = "recording.";

/// The name for the answer of an ordinary model.
const DEFAULT: &str = "default";

/// The meaning of a model id. `T` is what is made of its script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry<T = Box<Script>> {
    /// The answer of an ordinary model.
    Model,
    /// A script.
    Script(T),
    /// The name of no script and no recording.
    Unknown,
    /// Not a model id.
    Malformed,
}

/// Makes the script of a request.
pub(crate) type Maker = Arc<dyn Fn(&CapturedRequest) -> Script + Send + Sync>;

/// The scripts of a model id.
enum Source {
    /// The next request gets the first, and the last one is repeated.
    Sequence(VecDeque<Script>),
    /// Each request gets its own.
    Made(Maker),
}

/// The scripts of each model id.
#[derive(Default)]
pub(crate) struct Catalogue {
    sources: Mutex<BTreeMap<String, Source>>,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.sources.lock().keys()).finish()
    }
}

impl Catalogue {
    pub(crate) fn new() -> Self {
        let catalogue = Self::default();
        for (name, script) in built_in::scripts() {
            catalogue.register(format!("{SCRIPT_PREFIX}{name}"), [script]);
        }
        catalogue
    }

    /// The built-in scripts and those of these folders.
    pub(crate) fn load(scripts: Option<&Path>, recordings: Option<&Path>) -> Result<Self, LoadError> {
        let catalogue = Self::new();
        if let Some(folder) = scripts {
            catalogue.load_scripts(folder)?;
        }
        if let Some(folder) = recordings {
            catalogue.load_recordings(folder)?;
        }
        Ok(catalogue)
    }

    pub(crate) fn register(&self, model_id: String, scripts: impl IntoIterator<Item = Script>) {
        self.sources.lock().insert(model_id, Source::Sequence(scripts.into_iter().collect()));
    }

    pub(crate) fn register_in(&self, model_id: &str, region: &str, scripts: impl IntoIterator<Item = Script>) {
        self.register(in_region(model_id, region), scripts);
    }

    pub(crate) fn register_maker(&self, model_id: String, maker: Maker) {
        self.sources.lock().insert(model_id, Source::Made(maker));
    }

    /// What is made of the next script of this name. An error leaves the sequence unchanged. `None` if there is no such name.
    fn next<T, E>(
        &self,
        name: &str,
        request: &CapturedRequest,
        accept: impl FnOnce(Script) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let mut sources = self.sources.lock();
        let maker = match sources.get_mut(name)? {
            Source::Made(maker) => Arc::clone(maker),
            Source::Sequence(sequence) => {
                let accepted = accept(sequence.front()?.clone());
                if accepted.is_ok() && sequence.len() > 1 {
                    sequence.pop_front();
                }
                return Some(accepted);
            }
        };
        // It may register scripts.
        drop(sources);
        Some(accept(maker(request)))
    }

    /// Loads every `*.json` of a folder as a script with the name of the file.
    pub(crate) fn load_scripts(&self, folder: &Path) -> Result<(), LoadError> {
        for (name, path) in recording::files(folder)? {
            let text =
                std::fs::read_to_string(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
            let scripts = Script::sequence_from_json(&text).map_err(|source| LoadError::Parse { path, source })?;
            self.register(format!("{SCRIPT_PREFIX}{name}"), scripts);
        }
        Ok(())
    }

    /// Loads every recording below a folder.
    pub(crate) fn load_recordings(&self, folder: &Path) -> Result<(), LoadError> {
        for recording in recording::load(folder)? {
            self.register(format!("{RECORDING_PREFIX}{}", recording.name), [recording.script()]);
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let all = self.sources.lock().keys().filter(|name| !name.contains('@')).cloned().collect::<Vec<_>>();
        std::iter::once(format!("{SCRIPT_PREFIX}{DEFAULT}")).chain(all).collect()
    }

    /// What is made of the script of this request. A script for one region replaces the script for all.
    pub(crate) fn find<T, E>(
        &self,
        request: &CapturedRequest,
        accept: impl Fn(Script) -> Result<T, E>,
    ) -> Result<Entry<T>, E> {
        let CapturedRequest { model_id, region, .. } = request;
        for name in [&in_region(model_id, region), model_id] {
            if let Some(accepted) = self.next(name, request, &accept) {
                return accepted.map(Entry::Script);
            }
        }
        Ok(meaning(model_id))
    }

    /// The entry of this model id.
    #[cfg(test)]
    pub(crate) fn entry(&self, model_id: &str) -> Entry {
        let request = CapturedRequest { model_id: model_id.to_owned(), ..CapturedRequest::default() };
        let found = self.find(&request, |script| Ok::<_, std::convert::Infallible>(Box::new(script)));
        found.unwrap_or_else(|never| match never {})
    }
}

/// The meaning of a model id that has no scripts.
fn meaning<T>(model_id: &str) -> Entry<T> {
    if model_id.strip_prefix(SCRIPT_PREFIX) == Some(DEFAULT) {
        Entry::Model
    } else if model_id.starts_with(SCRIPT_PREFIX) || model_id.starts_with(RECORDING_PREFIX) {
        Entry::Unknown
    } else if model_id.starts_with("arn:") || model_id.split_once('.').is_some_and(is_provider_and_model) {
        Entry::Model
    } else {
        Entry::Malformed
    }
}

/// The key of a model in one region. No model id contains `@`.
fn in_region(model_id: &str, region: &str) -> String {
    format!("{model_id}@{region}")
}

/// Bedrock's model ids are `provider.model`, in lower case.
fn is_provider_and_model((provider, model): (&str, &str)) -> bool {
    let allowed = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:_".contains(c))
    };
    allowed(provider) && allowed(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_answers_in_turn_and_its_last_script_stays() {
        let catalogue = Catalogue::new();
        catalogue.register("emulator.two".into(), [Script::reply("a"), Script::reply("b")]);
        let request = CapturedRequest { model_id: "emulator.two".into(), ..CapturedRequest::default() };
        let refused = catalogue.find(&request, |_| Err::<(), _>("throttled"));
        assert_eq!(refused, Err("throttled"));
        let answers = [(); 3].map(|()| catalogue.entry("emulator.two"));
        let script = |text: &str| Entry::Script(Box::new(Script::reply(text)));
        assert_eq!(answers, [script("a"), script("b"), script("b")]);
    }

    #[test]
    fn a_script_is_made_for_a_request() {
        let catalogue = Arc::new(Catalogue::new());
        let own = Arc::downgrade(&catalogue);
        let made = move |request: &CapturedRequest| {
            own.upgrade().unwrap().register("emulator.registered".into(), [Script::reply("x")]);
            Script::reply(request.body["prompt"].as_str().unwrap())
        };
        catalogue.register_maker("emulator.made".into(), Arc::new(made));
        let body = serde_json::json!({"prompt": "hi"});
        let request = CapturedRequest { model_id: "emulator.made".into(), body, ..CapturedRequest::default() };
        let found = catalogue.find(&request, Ok::<_, ()>);
        assert_eq!(found, Ok(Entry::Script(Script::reply("hi"))));
        assert!(matches!(catalogue.entry("emulator.registered"), Entry::Script(_)));
    }

    #[test]
    fn model_ids_are_distinguished() {
        let catalogue = Catalogue::new();
        assert_eq!(catalogue.entry("emulator.default"), Entry::Model);
        assert_eq!(catalogue.entry("us.anthropic.claude-haiku-4-5-20251001-v1:0"), Entry::Model);
        assert_eq!(catalogue.entry("arn:aws:bedrock:us-east-1:1:inference-profile/x"), Entry::Model);
        assert!(matches!(catalogue.entry("emulator.cut"), Entry::Script(_)));
        assert_eq!(catalogue.entry("emulator.nonsense"), Entry::Unknown);
        assert_eq!(catalogue.entry("gpt-4"), Entry::Malformed);
    }
}
