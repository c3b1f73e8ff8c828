//! The answers of the operations that do not stream, from the same scripts.

use serde_json::{Value, json};

use crate::{
    playback::pruned,
    reply,
    script::{Script, Step},
};

/// The most events of a complete answer, because a script can repeat steps without end.
const MOST: usize = 100_000;

/// The events of a script, each as type and payload.
pub(crate) fn events(script: &Script) -> Vec<(String, Value)> {
    fn collect(steps: &[Step], into: &mut Vec<(String, Value)>) {
        for step in steps {
            match step {
                Step::Event { event_type, payload } => into.push((event_type.clone(), payload.clone())),
                Step::Reply(text) => collect(&reply::steps(text, 0), into),
                Step::Repeat { times, steps } => {
                    let mut left = *times;
                    while left > 0 && into.len() < MOST {
                        collect(steps, into);
                        left -= 1;
                    }
                }
                Step::Chunk(payload) => into.push(("chunk".to_owned(), payload.clone())),
                Step::Exception { .. } | Step::Error { .. } | Step::Bytes(_) | Step::WaitMs(_) => {}
            }
        }
    }
    let mut events = Vec::new();
    let is_event = |step: &Step| matches!(step, Step::Event { .. } | Step::Reply(_) | Step::Chunk(_));
    collect(&pruned(&script.steps, &is_event), &mut events);
    events
}

/// The answer of the non-streaming Converse to the same script.
pub(crate) fn converse(script: &Script) -> Value {
    let mut answer = json!({"output": {"message": {"role": "assistant", "content": []}}});
    let mut texts: Vec<(i64, String)> = Vec::new();
    for (event_type, payload) in events(script) {
        match event_type.as_str() {
            "contentBlockDelta" => {
                let index = payload["contentBlockIndex"].as_i64().unwrap_or_default();
                let Some(text) = payload["delta"]["text"].as_str() else { continue };
                match texts.iter_mut().find(|(of, _)| *of == index) {
                    Some((_, whole)) => whole.push_str(text),
                    None => texts.push((index, text.to_owned())),
                }
            }
            "messageStop" => answer["stopReason"] = payload["stopReason"].clone(),
            "metadata" => {
                answer["usage"] = payload["usage"].clone();
                answer["metrics"] = payload["metrics"].clone();
            }
            _ => {}
        }
    }
    answer["output"]["message"]["content"] = texts.into_iter().map(|(_, text)| json!({"text": text})).collect();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_without_end_give_a_bounded_answer() {
        let endless = |steps| Script::of([Step::Repeat { times: usize::MAX, steps }]);
        assert_eq!(events(&endless(vec![Step::text("x")])).len(), MOST);
        assert_eq!(events(&endless(vec![Step::WaitMs(0), Step::Bytes(vec![1])])).len(), 0);
    }
}
