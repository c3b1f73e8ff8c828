//! Converts free JSON between serde and protobuf's well-known types: traces, tool results, unknown members.

mod text;

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};

pub(crate) use self::text::survives_as_doubles;
pub use self::text::{parse_object_text, parse_text};

/// Doubles hold every whole number up to here exactly.
pub const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

/// The maximum nesting of objects and arrays. Protobuf decoders refuse messages of more than 100 levels, and an object has three.
pub const MAX_NESTING: usize = 30;

/// JSON text, such as the input of a tool, as a `google.protobuf.Value`.
///
/// # Errors
/// If the text is not JSON.
pub fn parse(json: &str) -> serde_json::Result<ProtoValue> {
    serde_json::from_str(json).map(to_value)
}

/// JSON text as a `google.protobuf.Struct`, such as the schema of a tool.
///
/// # Errors
/// If the text is not a JSON object.
pub fn parse_object(json: &str) -> serde_json::Result<Struct> {
    serde_json::from_str(json).map(to_struct)
}

/// JSON as a `google.protobuf.Value`. Numbers become doubles. A value below [`MAX_NESTING`] levels becomes a string with its JSON text,
/// because decoders would refuse it.
pub fn to_value(json: Value) -> ProtoValue {
    nested(json, MAX_NESTING)
}

/// JSON as a value with at most `levels` of objects and arrays.
fn nested(json: Value, levels: usize) -> ProtoValue {
    let deeper = levels.saturating_sub(1);
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(_) | Value::Object(_) if levels == 0 => Kind::StringValue(json.to_string()),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(|item| nested(item, deeper)).collect() })
        }
        Value::Object(members) => Kind::StructValue(nested_members(members, deeper)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A JSON object as a `google.protobuf.Struct`. Its nesting is limited as that of [`to_value`].
pub fn to_struct(members: Map<String, Value>) -> Struct {
    nested_members(members, MAX_NESTING - 1)
}

/// A JSON object whose members have at most `levels` of objects and arrays.
fn nested_members(members: Map<String, Value>, levels: usize) -> Struct {
    Struct { fields: members.into_iter().map(|(name, value)| (name, nested(value, levels))).collect() }
}

/// Checks that a value has at most [`MAX_NESTING`] levels of objects and arrays.
///
/// # Errors
/// How many levels it has.
pub fn check_nesting(value: &ProtoValue) -> Result<(), String> {
    check_levels(nesting(value))
}

fn check_levels(levels: usize) -> Result<(), String> {
    if levels > MAX_NESTING {
        return Err(format!("has {levels} levels of objects and arrays; at most {MAX_NESTING} are allowed"));
    }
    Ok(())
}

/// How deep objects and arrays are nested: 0 for a string or a number. [`text`] counts the same in serde's type, because converting a value
/// only to count its levels would copy it.
fn nesting(value: &ProtoValue) -> usize {
    match value.kind.as_ref() {
        Some(Kind::ListValue(list)) => 1 + list.values.iter().map(nesting).max().unwrap_or(0),
        Some(Kind::StructValue(members)) => 1 + members.fields.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// A `google.protobuf.Value` as JSON. Whole numbers stay whole, because a provider that expects `5` can refuse `5.0`.
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

/// A number as JSON. It is an integer if the double is whole and exact.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a double holds exactly are cast")]
pub fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_that_is_nested_too_deep_to_be_decoded_is_text_below_the_limit() {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let deep = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let value = parse(&deep(MAX_NESTING)).unwrap();
            assert_eq!((nesting(&value), from_value(&value).to_string()), (MAX_NESTING, deep(MAX_NESTING)));
            let value = parse(&deep(MAX_NESTING + 5)).unwrap();
            assert_eq!(nesting(&value), MAX_NESTING);
            let text = Value::from(deep(5)).to_string();
            let whole = format!("{}{text}{}", open.repeat(MAX_NESTING), close.repeat(MAX_NESTING));
            assert_eq!(from_value(&value).to_string(), whole);
        }
    }

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
