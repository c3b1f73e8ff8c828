//! The call of a tool that a request asks for: `toolChoice` is `any` or a tool. The input is made from the tool's schema ([`crate::schema`]).

use serde_json::{Value, json};

use crate::{schema, script::Step};

/// How much of the input a delta has, in characters.
const PIECE: usize = 12;

/// A tool of a request.
struct Tool<'a> {
    name: &'a str,
    schema: &'a Value,
}

/// What the request says about the choice of a tool.
enum Choice<'a> {
    Any,
    Named(&'a str),
}

/// The events of the call that this body asks for, if it does. Of `any` tools it is the first that was not called before, or the last.
/// `unasked`: call one also if the body leaves it open, and does not end with the result of a tool.
///
/// # Errors
/// The message of Bedrock if there is no such tool.
pub(crate) fn call(body: &Value, input_tokens: u32, unasked: bool) -> Result<Option<Vec<Step>>, String> {
    let tools = tools(body);
    let own = (unasked && is_open(body) && !tools.is_empty() && !ends_with_result(body)).then_some(Choice::Any);
    let Some(choice) = choice(body).or(own) else { return Ok(None) };
    let called = called(body);
    let chosen = match choice {
        Choice::Named(name) => tools
            .iter()
            .find(|tool| tool.name == name)
            .ok_or_else(|| format!("The tool {name} of the tool choice is not among the tools of the request."))?,
        Choice::Any => {
            let fresh = tools.iter().find(|tool| !called.contains(&tool.name));
            fresh.or(tools.last()).ok_or("The tool choice asks for a tool, and the request has no tools.")?
        }
    };
    Ok(Some(steps(chosen, called.len() + 1, input_tokens)))
}

/// Whether the request ends with the result of a tool, in any format.
pub(crate) fn ends_with_result(body: &Value) -> bool {
    let Some(last) = body["messages"].as_array().and_then(|messages| messages.last()) else {
        // Of Command R.
        return body["tool_results"].as_array().is_some_and(|results| !results.is_empty());
    };
    let is_result = |block: &Value| block.get("toolResult").is_some() || block["type"] == "tool_result";
    last["role"] == "tool" || last["content"].as_array().is_some_and(|blocks| blocks.iter().any(is_result))
}

/// Whether the body leaves it to the model whether a tool is called.
fn is_open(body: &Value) -> bool {
    let native = &body["tool_choice"];
    native != "none" && native["type"] != "none"
}

fn choice(body: &Value) -> Option<Choice<'_>> {
    let converse = &body["toolConfig"]["toolChoice"];
    if converse.get("any").is_some() {
        return Some(Choice::Any);
    }
    let native = &body["tool_choice"];
    let named = [converse.pointer("/tool/name"), native.pointer("/function/name"), native.get("name")];
    if let Some(name) = named.into_iter().flatten().find_map(Value::as_str) {
        return Some(Choice::Named(name));
    }
    let is_any = native["type"] == "any" || native == "any" || native == "required";
    is_any.then_some(Choice::Any)
}

/// The tools of a body of Converse, Nova, Anthropic or chat completions.
fn tools(body: &Value) -> Vec<Tool<'_>> {
    let all = [&body["toolConfig"]["tools"], &body["tools"]];
    let tool = |tool| {
        let name = find(tool, &["/toolSpec/name", "/function/name", "/name"])?.as_str()?;
        let places = ["/toolSpec/inputSchema/json", "/function/parameters", "/input_schema"];
        Some(Tool { name, schema: find(tool, &places).unwrap_or(&Value::Null) })
    };
    all.into_iter().filter_map(Value::as_array).flatten().filter_map(tool).collect()
}

fn find<'a>(value: &'a Value, places: &[&str]) -> Option<&'a Value> {
    places.iter().find_map(|place| value.pointer(place))
}

/// The names of the tools that the conversation has called.
fn called(body: &Value) -> Vec<&str> {
    let messages = body["messages"].as_array().into_iter().flatten();
    messages
        .flat_map(|message| {
            let blocks = message["content"].as_array().into_iter().flatten();
            blocks.chain(message["tool_calls"].as_array().into_iter().flatten())
        })
        .filter_map(|part| {
            let is_native = part["type"] == "tool_use";
            let own = part.get("name").filter(|_| is_native);
            own.or_else(|| find(part, &["/toolUse/name", "/function/name"]))?.as_str()
        })
        .collect()
}

fn steps(tool: &Tool<'_>, number: usize, input_tokens: u32) -> Vec<Step> {
    let schema = if tool.schema.is_object() { schema::value(tool.schema) } else { json!({}) };
    let input: Vec<char> = schema.to_string().chars().collect();
    let start = json!({"toolUse": {"toolUseId": format!("tooluse_emulated{number}"), "name": tool.name}});
    let delta = |piece: String| Step::delta(0, json!({"toolUse": {"input": piece}}));
    let mut steps = vec![
        Step::message_start(),
        Step::event("contentBlockStart", json!({"contentBlockIndex": 0, "start": start})),
        delta(String::new()),
    ];
    steps.extend(input.chunks(PIECE).map(|piece| delta(piece.iter().collect())));
    let output = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    steps.extend([Step::block_stop(0), Step::message_stop("tool_use"), Step::metadata(input_tokens, output)]);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fold, script::Script, whole};

    fn called_by(body: &Value) -> Value {
        let script = Script::of(call(body, 1, false).unwrap().unwrap());
        let answer = fold::converse(&whole::tell(&script).events);
        assert_eq!(answer["stopReason"], "tool_use");
        answer["output"]["message"]["content"][0]["toolUse"].clone()
    }

    fn schema() -> Value {
        json!({"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Paris"]}}})
    }

    #[test]
    fn each_format_can_ask_for_a_tool() {
        let expected = json!({"toolUseId": "tooluse_emulated1", "name": "look", "input": {"city": "Paris"}});
        let spec = |name: &str| json!({"toolSpec": {"name": name, "inputSchema": {"json": schema()}}});
        let converse =
            |choice: Value| json!({"toolConfig": {"tools": [spec("look"), spec("b")], "toolChoice": choice}});
        assert_eq!(called_by(&converse(json!({"any": {}}))), expected);
        assert_eq!(called_by(&converse(json!({"tool": {"name": "b"}})))["name"], "b");
        let anthropic =
            |choice: Value| json!({"tools": [{"name": "look", "input_schema": schema()}], "tool_choice": choice});
        assert_eq!(called_by(&anthropic(json!({"type": "any"}))), expected);
        assert_eq!(called_by(&anthropic(json!({"type": "tool", "name": "look"}))), expected);
        let function = json!({"type": "function", "function": {"name": "look", "parameters": schema()}});
        let chat = |choice: Value| json!({"tools": [function], "tool_choice": choice});
        assert_eq!(called_by(&chat(json!("required"))), expected);
        assert_eq!(called_by(&chat(json!({"type": "function", "function": {"name": "look"}}))), expected);
        assert_eq!(call(&converse(json!({"auto": {}})), 1, false), Ok(None));
        assert_eq!(call(&anthropic(json!({"type": "auto"})), 1, false), Ok(None));
        assert!(call(&converse(json!({"tool": {"name": "c"}})), 1, false).unwrap_err().contains('c'));
        assert!(call(&json!({"toolConfig": {"toolChoice": {"any": {}}}}), 1, false).is_err());
    }

    #[test]
    fn the_result_of_a_tool_is_found_in_each_format() {
        let ending = |last: Value| json!({"messages": [{"role": "user", "content": "hi"}, last]});
        let block = |block: Value| json!({"role": "user", "content": [block]});
        for body in [
            ending(block(json!({"toolResult": {"toolUseId": "1", "content": []}}))),
            ending(block(json!({"type": "tool_result", "tool_use_id": "1", "content": "x"}))),
            ending(json!({"role": "tool", "tool_call_id": "1", "content": "x"})),
            json!({"message": "hi", "tool_results": [{"call": {}, "outputs": []}]}),
        ] {
            assert!(ends_with_result(&body), "{body}");
        }
        assert!(!ends_with_result(&ending(block(json!({"text": "x"})))));
        assert!(!ends_with_result(&json!({"message": "hi"})));
    }

    #[test]
    fn a_model_can_call_a_tool_without_being_told_to() {
        let tools = json!([{"name": "look", "input_schema": schema()}]);
        let asked = json!({"role": "user", "content": "hi"});
        let calls = |body: Value| call(&body, 1, true).unwrap().is_some();
        assert!(calls(json!({"tools": tools, "messages": [asked]})));
        assert!(calls(json!({"tools": tools, "tool_choice": {"type": "auto"}, "messages": [asked]})));
        assert!(!calls(json!({"tools": tools, "tool_choice": {"type": "none"}, "messages": [asked]})));
        assert!(!calls(json!({"tools": tools, "tool_choice": "none", "messages": [asked]})));
        assert!(!calls(json!({"messages": [asked]})));
        let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]});
        assert!(!calls(json!({"tools": tools, "messages": [asked, result]})));
    }

    #[test]
    fn of_any_tools_the_next_is_one_that_was_not_called() {
        let tools = json!([{"name": "look", "input_schema": schema()}, {"name": "finish", "input_schema": schema()}]);
        let said =
            json!([{"role": "assistant", "content": [{"type": "tool_use", "name": "look", "id": "1", "input": {}}]}]);
        let body = json!({"tools": tools, "tool_choice": {"type": "any"}, "messages": said});
        let call = called_by(&body);
        assert_eq!((&call["name"], &call["toolUseId"]), (&json!("finish"), &json!("tooluse_emulated2")));
    }
}
