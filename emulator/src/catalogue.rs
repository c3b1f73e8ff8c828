//! The scripts by model id, or by a mark in the prompt: `emulator.<name>`.

mod built_in;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    LoadError,
    history::CapturedRequest,
    names::{self, CALLER, DEFAULT, RECORDING_PREFIX, SCRIPT_PREFIX},
    recording,
    script::Script,
};

/// The meaning of a model id. `T` is what is made of its script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry<T = Box<Script>> {
    /// The answer of an ordinary model.
    Model,
    /// That of one that calls the tools of a request without being told to.
    Caller,
    /// A script.
    Script(T),
    /// The name of no script and no recording.
    Unknown(String),
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

/// Where scripts come from. A request looks for its script in its session, then in what was put, then in the emulator's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// Built in, from files, from recordings, or registered in Rust.
    Own,
    /// Put by HTTP.
    Put,
    /// Put by HTTP for the requests of this session.
    Session(String),
}

impl Layer {
    /// That of a request to the emulator itself.
    pub(crate) fn of_session(session: &str) -> Self {
        if session.is_empty() { Self::Put } else { Self::Session(session.to_owned()) }
    }
}

/// The scripts of each model id.
#[derive(Default)]
pub(crate) struct Catalogue {
    sources: Mutex<BTreeMap<(Layer, String), Source>>,
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
        self.put(Layer::Own, model_id, scripts);
    }

    /// Registers scripts for `MODEL` or `MODEL@REGION`.
    pub(crate) fn put(&self, layer: Layer, name: String, scripts: impl IntoIterator<Item = Script>) {
        self.sources.lock().insert((layer, name), Source::Sequence(scripts.into_iter().collect()));
    }

    /// Removes what was put for this name. Returns whether there was anything.
    pub(crate) fn remove(&self, layer: Layer, name: String) -> bool {
        self.sources.lock().remove(&(layer, name)).is_some()
    }

    /// Removes everything of a session, or everything that was put.
    pub(crate) fn reset(&self, session: Option<&str>) {
        self.sources.lock().retain(|(layer, _), _| match (layer, session) {
            (Layer::Own, _) | (Layer::Put, Some(_)) => true,
            (Layer::Session(own), Some(session)) => own != session,
            (_, None) => false,
        });
    }

    /// What was put, by name.
    pub(crate) fn put_names(&self, layer: &Layer) -> Vec<String> {
        self.sources.lock().keys().filter(|(own, _)| own == layer).map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn register_in(&self, model_id: &str, region: &str, scripts: impl IntoIterator<Item = Script>) {
        self.register(in_region(model_id, region), scripts);
    }

    pub(crate) fn register_maker(&self, model_id: String, maker: Maker) {
        self.sources.lock().insert((Layer::Own, model_id), Source::Made(maker));
    }

    /// What is made of the next script of this name. An error leaves the sequence unchanged. `None` if there is no such name.
    fn next<T, E>(
        &self,
        name: &(Layer, String),
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
        let sources = self.sources.lock();
        let shared = sources.keys().filter(|(layer, name)| !matches!(layer, Layer::Session(_)) && !name.contains('@'));
        let names: BTreeSet<&String> = shared.map(|(_, name)| name).filter(|name| names::is_named(name)).collect();
        let models = [DEFAULT, CALLER].map(|name| format!("{SCRIPT_PREFIX}{name}"));
        models.into_iter().chain(names.into_iter().cloned()).collect()
    }

    /// What is made of the script of this request. A script for one region replaces the script for all. An ordinary model has the script that
    /// is marked in the prompt.
    pub(crate) fn find<T, E>(
        &self,
        request: &CapturedRequest,
        accept: impl Fn(Script) -> Result<T, E>,
    ) -> Result<Entry<T>, E> {
        let CapturedRequest { model_id, region, session, body, .. } = request;
        let mut names = vec![model_id.as_str()];
        names.extend(names::of_arn(model_id));
        if matches!(meaning::<T>(names[names.len() - 1]), Entry::Model) {
            names.extend(names::marked_in(body));
        }
        for name in &names {
            for layer in [Layer::Session(session.clone()), Layer::Put, Layer::Own] {
                for name in [in_region(name, region), (*name).to_owned()] {
                    if let Some(accepted) = self.next(&(layer.clone(), name), request, &accept) {
                        return accepted.map(Entry::Script);
                    }
                }
            }
        }
        Ok(meaning(names[names.len() - 1]))
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
    let script = model_id.strip_prefix(SCRIPT_PREFIX);
    if script == Some(DEFAULT) {
        Entry::Model
    } else if script == Some(CALLER) {
        Entry::Caller
    } else if names::is_named(model_id) {
        Entry::Unknown(model_id.to_owned())
    } else if names::is_model(model_id) {
        Entry::Model
    } else {
        Entry::Malformed
    }
}

/// The key of a model in one region. No model id contains `@`.
fn in_region(model_id: &str, region: &str) -> String {
    format!("{model_id}@{region}")
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
        assert_eq!(catalogue.entry("emulator.nonsense"), Entry::Unknown("emulator.nonsense".into()));
        assert_eq!(catalogue.entry("gpt-4"), Entry::Malformed);
    }
}
