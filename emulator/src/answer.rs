//! The HTTP response of a script: a stream, a whole answer or an error, with Bedrock's headers.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    body::{ScriptBody, Tracked},
    connection::Hangup,
    fold, frame,
    history::Outcome,
    ledger::Ledger,
    native::{self, Format, Translator},
    operation::Operation,
    playback::{self, Actions},
    prompt,
    script::{Refusal, Script, Step},
    whole,
};

/// The headers of InvokeModel with the counts of tokens.
const COUNTS: [(&str, &str); 4] = [
    ("x-amzn-bedrock-input-token-count", "inputTokens"),
    ("x-amzn-bedrock-output-token-count", "outputTokens"),
    ("x-amzn-bedrock-cache-read-input-token-count", "cacheReadInputTokens"),
    ("x-amzn-bedrock-cache-write-input-token-count", "cacheWriteInputTokens"),
];

/// The answer to one request.
pub(crate) struct Answer<'a> {
    pub(crate) ledger: &'a Arc<Ledger>,
    pub(crate) hangup: Hangup,
    /// The number of the request, which its AWS request id has.
    pub(crate) number: u64,
    /// The body takes it. An HTTP error releases what the quota has reserved.
    pub(crate) tracked: Tracked,
}

impl Answer<'_> {
    /// The answer of this script to this operation. A whole answer comes after the time of the script. `format` is that of native answers,
    /// if the request tells it.
    pub(crate) async fn respond(
        mut self,
        operation: Operation,
        script: &Script,
        body: &Value,
        format: Option<Format>,
    ) -> Response {
        if operation.is_native() && format.is_none() && native::needs_format(&script.steps) {
            let message = "Neither the model id nor the members of the request body tell the native format.";
            return self.refuse(&invalid(message), &Script::default());
        }
        let mut response = match operation {
            Operation::ConverseStream | Operation::InvokeModelWithResponseStream => {
                let mut response = match format.filter(|_| operation.is_native()) {
                    Some(format) => {
                        let mut translator = Translator::new(format, script);
                        self.stream(playback::actions_of(script, move |step| translator.step(step)), script)
                    }
                    None => self.play(script),
                };
                let content_type = HeaderValue::from_static("application/vnd.amazon.eventstream");
                response.headers_mut().insert("content-type", content_type);
                response
                    .headers_mut()
                    .insert("x-amzn-bedrock-content-type", HeaderValue::from_static("application/json"));
                response
            }
            // A recording of the operation itself.
            _ if is_bytes(&script.steps) && !is_stream(&script.steps) => {
                let mut response = self.play(script);
                response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
                response
            }
            Operation::Converse | Operation::InvokeModel => return self.whole(operation, script, format).await,
            Operation::CountTokens => match prompt::counted(body) {
                Some(counted) => {
                    self.tracked.end(Outcome::Completed);
                    json_body(&json!({"inputTokens": prompt::input_tokens(&counted)}))
                }
                None => {
                    let message = "The input must be that of Converse, or the body of InvokeModel as JSON.";
                    return self.refuse(&invalid(message), &Script::default());
                }
            },
        };
        self.finish_headers(&mut response, script);
        response
    }

    async fn whole(mut self, operation: Operation, script: &Script, format: Option<Format>) -> Response {
        let mut telling = whole::tell(script);
        if let Some(refusal) = &telling.refusal {
            sleep(telling.time).await;
            // Not the steps: they are what the error replaces.
            let script = Script { headers: script.headers.clone(), ..Script::default() };
            return self.refuse(refusal, &script);
        }
        let (events, of_chunks) = native::events(std::mem::take(&mut telling.events));
        let answer = fold::converse(&events);
        let usage = answer["usage"].clone();
        let answer = match of_chunks.or(format) {
            Some(format) if operation.is_native() => native::whole(format, &answer),
            _ => answer,
        };
        let (declared, actions) = telling.send(Bytes::from(answer.to_string()), script.delivery.clone());
        // Before the pause, so that a client that leaves in it is counted.
        let body = ScriptBody::new(actions, telling.is_faulty(), Arc::clone(self.ledger), self.hangup.clone());
        let body = body.of_length(declared).tracked(std::mem::take(&mut self.tracked));
        sleep(telling.time).await;
        let mut response = Response::new(Body::new(body));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response.headers_mut().insert("content-length", declared.into());
        for (name, count) in COUNTS.into_iter().filter(|_| operation.is_native()) {
            response
                .headers_mut()
                .extend(usage[count].as_u64().map(|count| (HeaderName::from_static(name), count.into())));
        }
        self.finish_headers(&mut response, script);
        response
    }

    /// The steps of the script as the body.
    fn play(&mut self, script: &Script) -> Response {
        self.stream(playback::actions(script), script)
    }

    fn stream(&mut self, actions: Actions, script: &Script) -> Response {
        let (ledger, hangup) = (Arc::clone(self.ledger), self.hangup.clone());
        let body = ScriptBody::new(actions, script.fault.is_some(), ledger, hangup);
        Response::new(Body::new(body.tracked(std::mem::take(&mut self.tracked))))
    }

    /// The HTTP error of this script.
    pub(crate) fn refuse_by(self, script: &Script) -> Response {
        match &script.refuse {
            Some(refusal) => self.refuse(refusal, script),
            None => self.refuse(&invalid("The script does not refuse."), script),
        }
    }

    /// An HTTP error.
    fn refuse(mut self, refusal: &Refusal, script: &Script) -> Response {
        self.tracked.refuse();
        self.ledger.count(|stats| stats.refused += 1);
        let mut response = match &refusal.body {
            _ if is_bytes(&script.steps) => self.play(script),
            Some(body) => Response::new(Body::from(body.clone())),
            None => json_body(&json!({"message": refusal.message})),
        };
        *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(exception) = &refusal.exception {
            let value = format!("{exception}:http://internal.amazon.com/coral/com.amazon.bedrock/");
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert("x-amzn-errortype", value);
            }
        }
        self.finish_headers(&mut response, script);
        response
    }

    /// Adds the AWS request id and the headers of the script.
    fn finish_headers(&self, response: &mut Response, script: &Script) {
        let id = format!("00000000-0000-4000-8000-{:012}", self.number);
        let headers = response.headers_mut();
        headers.extend(HeaderValue::from_str(&id).ok().map(|id| (HeaderName::from_static("x-amzn-requestid"), id)));
        let is_stream_type = |value: &str| value.starts_with("application/vnd.amazon.eventstream");
        let is_stream = headers.get("content-type").is_some_and(|value| value.to_str().is_ok_and(is_stream_type));
        for (name, value) in &script.headers {
            // A recorded stream that is told as a whole is JSON.
            if !is_stream && is_stream_type(value) {
                continue;
            }
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
    }
}

/// Whether there are steps, and all are bytes: the body of an answer that is no stream.
fn is_bytes(steps: &[Step]) -> bool {
    let bytes = |step: &Step| match step {
        Step::Bytes(_) => true,
        Step::Repeat { steps, .. } => is_bytes(steps),
        _ => false,
    };
    !steps.is_empty() && steps.iter().all(bytes)
}

/// Whether these bytes begin with a frame.
fn is_stream(steps: &[Step]) -> bool {
    let first = playback::expand(steps.to_vec()).next();
    matches!(first, Some(Step::Bytes(bytes)) if frame::decode(bytes.clone().into()).is_some())
}

pub(crate) fn invalid(message: &str) -> Refusal {
    Refusal { status: 400, exception: Some("ValidationException".into()), body: None, message: message.to_owned() }
}

pub(crate) fn refuse(status: u16, exception: &str, message: &str) -> Response {
    let body = json!({"message": message}).to_string();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    (status, [("content-type", "application/json"), ("x-amzn-errortype", exception)], body).into_response()
}

pub(crate) fn json_body(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}
