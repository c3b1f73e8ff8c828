//! The scripts by model id: `emulator.<name>`.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::{
    LoadError, recording,
    script::{At, FaultKind, Script, Step},
};

/// The prefix of model ids that name a script.
pub const SCRIPT_PREFIX: &str = "emulator.";

/// The prefix of model ids that name a recording: `recording.<folder>/<file without .json>`.
pub const RECORDING_PREFIX: &str = "recording.";

/// The name for the answer of an ordinary model.
const DEFAULT: &str = "default";

/// The meaning of a model id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// The answer of an ordinary model.
    Model,
    /// A script.
    Script(Box<Script>),
    /// The name of no script and no recording.
    Unknown,
    /// Not a model id.
    Malformed,
}

/// The scripts of each model id: the next request gets the first, and the last one is repeated.
#[derive(Debug)]
pub(crate) struct Catalogue {
    scripts: Mutex<BTreeMap<String, VecDeque<Script>>>,
}

impl Catalogue {
    pub(crate) fn new() -> Self {
        let catalogue = Self { scripts: Mutex::default() };
        for (name, script) in built_in() {
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
        self.scripts().insert(model_id, scripts.into_iter().collect());
    }

    pub(crate) fn register_in(&self, model_id: &str, region: &str, scripts: impl IntoIterator<Item = Script>) {
        self.register(in_region(model_id, region), scripts);
    }

    fn scripts(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Script>>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The script for this request.
    fn next(&self, model_id: &str) -> Option<Script> {
        let mut scripts = self.scripts();
        let sequence = scripts.get_mut(model_id)?;
        if sequence.len() > 1 { sequence.pop_front() } else { sequence.front().cloned() }
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
        let all = self.scripts().keys().filter(|name| !name.contains('@')).cloned().collect::<Vec<_>>();
        std::iter::once(format!("{SCRIPT_PREFIX}{DEFAULT}")).chain(all).collect()
    }

    /// The entry of this model id in this region. A script for one region replaces the script for all.
    pub(crate) fn find(&self, model_id: &str, region: &str) -> Entry {
        if let Some(script) = self.next(&in_region(model_id, region)).or_else(|| self.next(model_id)) {
            return Entry::Script(Box::new(script));
        }
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

/// The built-in scripts.
fn built_in() -> Vec<(&'static str, Script)> {
    let three = || vec![Step::message_start(), Step::text("One"), Step::text(" two"), Step::text(" three")];
    let then = |step: Step| Script { steps: [three(), vec![step]].concat(), ..Script::default() };
    let whole = || Script::reply("One two three four five");
    vec![
        (
            "refuse-throttle",
            Script::refuse(429, "ThrottlingException", "Too many requests, please wait before trying again."),
        ),
        (
            "refuse-access",
            Script::refuse(
                403,
                "AccessDeniedException",
                "You don't have access to the model with the specified model ID.",
            ),
        ),
        (
            "throttle-first",
            Script::of([Step::exception("throttlingException", "Too many tokens, please wait before trying again.")]),
        ),
        ("exception", then(Step::exception("modelStreamErrorException", "The model stopped unexpectedly."))),
        ("end", whole().fault(FaultKind::End, At::Event(4))),
        ("cut", whole().fault(FaultKind::Cut, At::Byte(400))),
        ("reset", whole().fault(FaultKind::Reset, At::Event(4))),
        ("stall", whole().fault(FaultKind::Stall, At::Event(4))),
        ("corrupt", whole().fault(FaultKind::Corrupt, At::Event(3))),
        ("oversized", whole().fault(FaultKind::Oversized, At::Event(3))),
        ("undersized", whole().fault(FaultKind::Undersized, At::Event(3))),
        ("slow", whole().pace(1_000, 1_000)),
        (
            "endless",
            Script::of([Step::message_start(), Step::Repeat { times: usize::MAX, steps: vec![Step::text("tick ")] }])
                .pace(0, 100),
        ),
        ("tools", tools()),
        ("reasoning", reasoning()),
        ("everything", everything()),
        ("newer", newer()),
    ]
}

/// Calls a tool, and answers when it gets the result.
fn tools() -> Script {
    let start = json!({"toolUse": {"toolUseId": "tooluse_emulated1", "name": "get_weather"}});
    let then = Some(Box::new(Script::reply("It is sunny in Paris.")));
    let ask = Script::of([
        Step::message_start(),
        Step::text("Let me look."),
        Step::block_stop(0),
        Step::event("contentBlockStart", json!({"contentBlockIndex": 1, "start": start})),
        Step::delta(1, json!({"toolUse": {"input": ""}})),
        Step::delta(1, json!({"toolUse": {"input": "{\"city\": \"Pa"}})),
        Step::delta(1, json!({"toolUse": {"input": "ris\"}"}})),
        Step::block_stop(1),
        Step::message_stop("tool_use"),
        Step::metadata(60, 20),
    ]);
    Script { on_tool_result: then, ..ask }
}

fn reasoning() -> Script {
    Script::of([
        Step::message_start(),
        Step::delta(0, json!({"reasoningContent": {"text": "Two and two"}})),
        Step::delta(0, json!({"reasoningContent": {"text": " make four."}})),
        Step::delta(0, json!({"reasoningContent": {"signature": "ZW11bGF0ZWQ="}})),
        Step::block_stop(0),
        Step::delta(1, json!({"reasoningContent": {"redactedContent": "c2VjcmV0"}})),
        Step::block_stop(1),
        Step::delta(2, json!({"text": "Four."})),
        Step::block_stop(2),
        Step::message_stop("end_turn"),
        Step::metadata(10, 12),
    ])
}

/// Every kind of event that Bedrock has, once.
fn everything() -> Script {
    let start = |index: u32, start: Value| {
        Step::event("contentBlockStart", json!({"contentBlockIndex": index, "start": start}))
    };
    let citation = json!({
        "title": "On cats", "source": "cats.pdf", "sourceContent": [{"text": "Cats sleep a lot."}],
        "location": {"documentPage": {"documentIndex": 0, "start": 2, "end": 3}},
    });
    Script::of([
        Step::message_start(),
        Step::delta(0, json!({"reasoningContent": {"text": "The user asks about cats."}})),
        Step::delta(0, json!({"reasoningContent": {"signature": "ZW11bGF0ZWQ="}})),
        Step::block_stop(0),
        Step::delta(1, json!({"reasoningContent": {"redactedContent": "c2VjcmV0"}})),
        Step::block_stop(1),
        Step::delta(2, json!({"text": "Cats sleep a lot [1]."})),
        Step::delta(2, json!({"citation": citation})),
        Step::block_stop(2),
        start(3, json!({"toolUse": {"toolUseId": "tooluse_1", "name": "search", "type": "server_tool_use"}})),
        Step::delta(3, json!({"toolUse": {"input": "{\"query\": \"cats\", \"limit\": 3}"}})),
        Step::block_stop(3),
        start(4, json!({"toolResult": {"toolUseId": "tooluse_1", "type": "search_result", "status": "success"}})),
        Step::delta(4, json!({"toolResult": [{"text": "Two results."}, {"json": {"hits": 2}}]})),
        Step::block_stop(4),
        start(5, json!({"image": {"format": "png"}})),
        Step::delta(5, json!({"image": {"source": {"bytes": "iVBORw0KGgo="}}})),
        Step::block_stop(5),
        Step::event(
            "messageStop",
            json!({"stopReason": "end_turn", "additionalModelResponseFields": {"stop_sequence": null}}),
        ),
        Step::event(
            "metadata",
            json!({
                "usage": {
                    "inputTokens": 30, "outputTokens": 40, "totalTokens": 70, "cacheReadInputTokens": 10,
                    "cacheWriteInputTokens": 5, "cacheDetails": [{"ttl": "5m", "inputTokens": 5}], "serverToolUsage": {},
                },
                "metrics": {"latencyMs": 420},
                "trace": {"guardrail": {"actionReason": "No action."}},
                "serviceTier": {"type": "default"}, "performanceConfig": {"latency": "standard"},
            }),
        ),
    ])
}

/// An answer with events and members that no SDK knows.
fn newer() -> Script {
    Script::of([
        Step::event("messageStart", json!({"role": "narrator", "mood": "calm"})),
        Step::delta(0, json!({"hologram": {"depth": 3}})),
        Step::event(
            "contentBlockDelta",
            json!({"contentBlockIndex": 1, "delta": {"text": "Hello"}, "confidence": 0.5}),
        ),
        Step::event("weather", json!({"sky": "blue"})),
        Step::event("messageStop", json!({"stopReason": "sleepy", "dream": true})),
        Step::event(
            "metadata",
            json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "serverToolUsage": {}}, "metrics": {"latencyMs": 5}}),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_answers_in_turn_and_its_last_script_stays() {
        let catalogue = Catalogue::new();
        catalogue.register("emulator.two".into(), [Script::reply("a"), Script::reply("b")]);
        let answers = [(); 3].map(|()| catalogue.next("emulator.two").unwrap());
        assert_eq!(answers, [Script::reply("a"), Script::reply("b"), Script::reply("b")]);
    }

    #[test]
    fn model_ids_are_distinguished() {
        let catalogue = Catalogue::new();
        assert_eq!(catalogue.find("emulator.default", ""), Entry::Model);
        assert_eq!(catalogue.find("us.anthropic.claude-haiku-4-5-20251001-v1:0", ""), Entry::Model);
        assert_eq!(catalogue.find("arn:aws:bedrock:us-east-1:1:inference-profile/x", ""), Entry::Model);
        assert!(matches!(catalogue.find("emulator.cut", ""), Entry::Script(_)));
        assert_eq!(catalogue.find("emulator.nonsense", ""), Entry::Unknown);
        assert_eq!(catalogue.find("gpt-4", ""), Entry::Malformed);
    }
}
