//! Free JSON between serde and protobuf's well-known types.
//!
//! Used where Bedrock's JSON has no shape of its own: traces, tool answers, members newer than the contract.

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};

/// Doubles hold every whole number up to here exactly.
pub const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

/// JSON text, such as the input of a tool, as a `google.protobuf.Value`.
///
/// # Errors
/// If the text is no JSON.
pub fn parse(json: &str) -> serde_json::Result<ProtoValue> {
    serde_json::from_str(json).map(to_value)
}

/// JSON text as a `google.protobuf.Struct`, such as the schema of a tool.
///
/// # Errors
/// If the text is no JSON object.
pub fn parse_object(json: &str) -> serde_json::Result<Struct> {
    serde_json::from_str(json).map(to_struct)
}

/// JSON as a `google.protobuf.Value`. Numbers become doubles: that type has no others.
pub fn to_value(json: Value) -> ProtoValue {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(to_value).collect() }),
        Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A JSON object as a `google.protobuf.Struct`.
pub fn to_struct(members: Map<String, Value>) -> Struct {
    Struct { fields: members.into_iter().map(|(name, value)| (name, to_value(value))).collect() }
}

/// A `google.protobuf.Value` as JSON. Whole numbers stay whole: the type has only doubles, and a provider that wants `5`
/// may refuse `5.0`.
pub fn from_value(value: &ProtoValue) -> Value {
    match value.kind.as_ref() {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(bool)) => Value::Bool(*bool),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_value).collect(),
        Some(Kind::StructValue(members)) => Value::Object(from_struct(members)),
    }
}

/// A `google.protobuf.Struct` as a JSON object.
pub fn from_struct(members: &Struct) -> Map<String, Value> {
    members.fields.iter().map(|(name, value)| (name.clone(), from_value(value))).collect()
}

/// A number as JSON, whole if it is whole and exact.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a double holds exactly are cast")]
pub fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_json_survives() {
        let Some(Kind::StructValue(Struct { fields })) =
            to_value(json!({"n": null, "b": true, "i": 7, "t": "x", "a": [1.5, {}]})).kind
        else {
            panic!("an object is a struct")
        };
        assert_eq!(fields["n"].kind, Some(Kind::NullValue(0)));
        assert_eq!(fields["b"].kind, Some(Kind::BoolValue(true)));
        assert_eq!(fields["i"].kind, Some(Kind::NumberValue(7.0)));
        assert_eq!(fields["t"].kind, Some(Kind::StringValue("x".to_owned())));
        let Some(Kind::ListValue(list)) = &fields["a"].kind else { panic!("an array is a list") };
        assert_eq!(list.values.len(), 2);
    }
}
