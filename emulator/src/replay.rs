//! Recordings that answer the requests that were recorded: the same operation, model id and body.
//!
//! Recordings have no account ids, so those of requests are not compared.

use std::{collections::VecDeque, path::Path};

use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    LoadError,
    history::CapturedRequest,
    record,
    recording::{self, Recording},
    script::Script,
};

/// The answers to requests.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    all: Vec<Replay>,
}

/// The answers to one request: the next one to each repetition, and the last one again.
#[derive(Debug)]
struct Replay {
    operation: String,
    model_id: String,
    body: Value,
    scripts: Mutex<VecDeque<Script>>,
}

impl Replay {
    fn is_for(&self, operation: &str, model_id: &str, body: &Value) -> bool {
        self.operation == operation && self.model_id == model_id && self.body == *body
    }
}

impl Replays {
    /// The recordings below a folder, in the order of their names. Those without a model id are left out.
    pub(crate) fn load(folder: &Path) -> Result<Self, LoadError> {
        let mut replays = Self::default();
        for recording in recording::load(folder)? {
            replays.add(&recording);
        }
        Ok(replays)
    }

    fn add(&mut self, recording: &Recording) {
        let Some(model_id) = &recording.model_id else { return };
        let (operation, body) = (&recording.operation, &recording.request);
        match self.all.iter().find(|replay| replay.is_for(operation, model_id, body)) {
            Some(replay) => replay.scripts.lock().push_back(recording.script()),
            None => self.all.push(Replay {
                operation: operation.clone(),
                model_id: model_id.clone(),
                body: body.clone(),
                scripts: Mutex::new(VecDeque::from([recording.script()])),
            }),
        }
    }

    /// The recorded answer to this request.
    pub(crate) fn find(&self, request: &CapturedRequest) -> Option<Script> {
        let (model_id, body) = (record::anonymous(&request.model_id), anonymous(&request.body));
        let replay = self.all.iter().find(|replay| replay.is_for(request.operation, &model_id, &body))?;
        let mut scripts = replay.scripts.lock();
        if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
    }
}

/// A body as recordings have it.
fn anonymous(body: &Value) -> Value {
    let text = body.to_string();
    let scrubbed = record::anonymous(&text);
    if scrubbed == text { body.clone() } else { serde_json::from_str(&scrubbed).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        recording::Response,
        routes::Shared,
        served::{Served, all, json_of, prompt},
    };

    const ARN: &str = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.a.b";

    fn recorded(model_id: &str, words: &str, answer: &str) -> Recording {
        Recording {
            name: String::new(),
            operation: "Converse".into(),
            model_id: Some(model_id.into()),
            request: prompt(words, 9),
            response: Response {
                status: 200,
                headers: [("content-type".into(), "application/json".into())].into(),
                body: json!({"said": answer}).to_string().into_bytes(),
                transport_chunk_lengths: None,
            },
            events: vec![],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_recorded_gets_its_answer() {
        let mut replays = Replays::default();
        for (model, words, answer) in [
            ("a.model", "hi", "first"),
            ("a.model", "hi", "second"),
            ("a.model", "bye", "third"),
            (ARN, "hi", "fourth"),
        ] {
            replays.add(&recorded(model, words, answer));
        }
        let served = Served::of(Shared { replays: Some(replays.into()), ..Shared::default() });
        let own = ARN.replace("000000000000", "123456789012").replace('/', "%2F");
        for (model, words, expected) in [
            ("a.model", "hi", "first"),
            ("a.model", "bye", "third"),
            ("a.model", "hi", "second"),
            ("a.model", "hi", "second"),
            (own.as_str(), "hi", "fourth"),
        ] {
            let answer = json_of(served.operate("converse", model, "", &prompt(words, 9)).await).await;
            assert_eq!(answer, json!({"said": expected}), "{model} {words}");
        }
        // What was not recorded is not made up, and scripts are still there.
        let other = served.operate("converse", "a.model", "", &prompt("other", 9)).await;
        assert_eq!(other.status(), 404);
        assert!(json_of(other).await["message"].as_str().unwrap().contains("no recording of this request,"));
        assert_eq!(served.operate("converse-stream", "a.model", "", &prompt("hi", 9)).await.status(), 404);
        all(served.operate("converse", "emulator.tools", "", &prompt("hi", 9)).await).await;
    }
}
