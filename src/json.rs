//! Free JSON between serde and protobuf's well-known types.
//!
//! Used where Bedrock's JSON has no shape of its own: traces, tool answers, members newer than the contract.

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};

/// JSON as a `google.protobuf.Value`. Numbers become doubles: that type has no others.
pub(crate) fn to_value(json: Value) -> ProtoValue {
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
pub(crate) fn to_struct(members: Map<String, Value>) -> Struct {
    Struct { fields: members.into_iter().map(|(name, value)| (name, to_value(value))).collect() }
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
