//! Which script answers a request: that of its model id, or one made for an ordinary model. The quota of the model can refuse it.

use serde_json::{Value, json};

use crate::{
    answer::invalid,
    catalogue::Entry,
    history::CapturedRequest,
    limits::Limits,
    names::SCRIPT_PREFIX,
    operation::Operation,
    prompt,
    quota::{Admitted, Need},
    reply,
    routes::Shared,
    schema,
    script::{Refusal, Script, Step},
    structured, tools, validation, vectors,
};

/// The longest text in bytes that any model accepts. The limits of models are 200,000 to 1,000,000 tokens.
const MAX_TEXT: usize = 4_000_000;

/// Bedrock's message where a model has no text to answer with.
const WITHOUT_TEXT: &str =
    "This action doesn't support the model that you provided. Try again with a supported text or chat model.";

/// What is said to a request that was not recorded, if recordings are replayed.
const NOT_RECORDED: &str = "There is no recording of this request, with the same operation, model id and body.";

/// A script, which can refuse, and what the quota has reserved for its answer.
pub(crate) struct Told {
    pub(crate) script: Script,
    pub(crate) admitted: Option<Admitted>,
}

/// A request to an operation whose script is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Telling<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) operation: Operation,
    pub(crate) request: &'a CapturedRequest,
}

impl Telling<'_> {
    /// The script of this request.
    ///
    /// # Errors
    /// What refuses the request before its script does: a limit, a fault, a validation.
    pub(crate) fn script(self) -> Result<Told, Box<Script>> {
        let Self { shared, operation, request } = self;
        let body = &request.body;
        if shared.validate {
            validation::check(operation, body).map_err(|message| invalid(&message))?;
        }
        let found = shared.catalogue.find(request, |script| {
            let script = match script {
                Script { on_tool_result: Some(then), .. } if tools::ends_with_result(body) => *then,
                script => script,
            };
            self.admit(script, None)
        });
        match found? {
            Entry::Script(told) => Ok(told),
            Entry::Model if shared.replays.is_some() => {
                let recorded = shared.replays.as_ref().and_then(|replays| replays.find(request));
                let missing = || Script::refuse(404, "ResourceNotFoundException", NOT_RECORDED);
                self.admit(recorded.unwrap_or_else(missing), None)
            }
            Entry::Model if operation != Operation::CountTokens && vectors::is_one(&request.model_id) => {
                if operation != Operation::InvokeModel {
                    return Err(invalid(WITHOUT_TEXT).into());
                }
                // Without output tokens.
                self.admit(vectors::answer(&request.model_id, body, shared.pace)?, Some(0))
            }
            model @ (Entry::Model | Entry::Caller) => {
                if operation.is_converse() {
                    check_conversation(body)?;
                }
                let steps =
                    ordinary(body, operation, matches!(model, Entry::Caller)).map_err(|message| invalid(&message))?;
                self.admit(reply::script(steps, shared.pace), None)
            }
            Entry::Unknown(name) => {
                let names = shared.catalogue.names();
                let known: Vec<_> = names.iter().filter_map(|name| name.strip_prefix(SCRIPT_PREFIX)).collect();
                let message =
                    format!("There is no script {name}. The names after `{SCRIPT_PREFIX}` are: {}", known.join(", "));
                Err(Script::refuse(404, "ResourceNotFoundException", &message).into())
            }
            Entry::Malformed => Err(invalid("The provided model identifier is invalid.").into()),
        }
    }

    /// Reserves what the request needs, if its model has a quota. Neither an error nor a count of tokens needs any. `most` is the maximum of
    /// output tokens, if the model has one whatever the request says.
    fn admit(self, script: Script, most: Option<u64>) -> Result<Told, Box<Script>> {
        let Self { shared, operation, request } = self;
        if script.refuse.is_some() || operation == Operation::CountTokens {
            return Ok(Told { script, admitted: None });
        }
        let script = shared.chance.apply(request.number, script)?;
        let meter = shared.quotas.find(&request.model_id, &request.region);
        let admitted = meter.map(|meter| meter.admit(Need::new(&request.body, &script, most))).transpose()?;
        Ok(Told { script, admitted })
    }
}

/// The events of the answer of an ordinary model, within the limits of the request. An error is Bedrock's message. `calls`: whether it calls
/// tools without being told to.
fn ordinary(body: &Value, operation: Operation, calls: bool) -> Result<Vec<Step>, String> {
    let limits = Limits::of(body)?;
    let tokens = prompt::input_tokens(body);
    if let Some(call) = tools::call(body, tokens, calls)? {
        return Ok(limits.limit(call));
    }
    let text = match structured::schema(body)? {
        Some(schema) => format!("{:#}", schema::value(&schema)),
        None => reply::text(&prompt::prompt_of(body)),
    };
    let (text, stop) = limits.stopped(&text);
    let mut steps = reply::steps(text, tokens);
    if let Some(stop) = stop {
        let fields = if operation.is_native() { Some("/stop_sequence") } else { place_of_stop(body) };
        end_with(&mut steps, &stop, fields);
    }
    Ok(limits.limit(steps))
}

/// Ends these events by a stop sequence, which the answer has at this place of the model's own members.
fn end_with(steps: &mut [Step], stop: &str, place: Option<&str>) {
    for step in steps {
        if let Step::Event { event_type, payload } = step
            && event_type == "messageStop"
        {
            payload["stopReason"] = "stop_sequence".into();
            if let Some(place) = place {
                let inner = json!({"stop_sequence": stop});
                let fields = if place == "/stop_sequence" { inner } else { json!({"delta": inner}) };
                payload["additionalModelResponseFields"] = fields;
            }
        }
    }
}

/// Where a request to Converse asks for the sequence that ended the answer.
fn place_of_stop(body: &Value) -> Option<&str> {
    let places = body["additionalModelResponseFieldPaths"].as_array()?;
    places.iter().filter_map(Value::as_str).find(|place| ["/stop_sequence", "/delta/stop_sequence"].contains(place))
}

/// Refuses messages that Bedrock refuses, with Bedrock's messages.
fn check_conversation(body: &Value) -> Result<(), Refusal> {
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    match messages.first() {
        Some(first) if first["role"] == "user" => {}
        Some(_) => {
            return Err(invalid(
                "A conversation must start with a user message. Try again with a conversation that starts with a user \
                 message.",
            ));
        }
        None => return Err(invalid("The messages are missing.")),
    }
    if prompt::prompt_of(body).len() > MAX_TEXT {
        return Err(invalid("Input is too long for requested model."));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
