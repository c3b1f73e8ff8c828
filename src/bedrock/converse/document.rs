//! Maps free JSON to the SDK's Document. Whole numbers stay whole, because a provider that expects `5` can refuse `5.0`, and
//! `google.protobuf.Value` has only doubles.

use aws_smithy_types::{Document, Number};
use prost_types::Struct;
use serde_json::{Map, Value};

use crate::json;

/// A JSON object, of a type that has only doubles.
pub(super) fn of_struct(object: &Struct) -> Document {
    object_of(json::from_struct(object))
}

/// A JSON object.
pub(super) fn object_of(members: Map<String, Value>) -> Document {
    Document::Object(members.into_iter().map(|(name, member)| (name, value(member))).collect())
}

/// JSON of any kind.
pub(super) fn value(json: Value) -> Document {
    match json {
        Value::Null => Document::Null,
        Value::Bool(bool) => Document::Bool(bool),
        Value::Number(number) => self::number(&number),
        Value::String(text) => Document::String(text),
        Value::Array(items) => Document::Array(items.into_iter().map(value).collect()),
        Value::Object(members) => object_of(members),
    }
}

fn number(number: &serde_json::Number) -> Document {
    let whole = number.as_u64().map(Number::PosInt).or_else(|| number.as_i64().map(Number::NegInt));
    let number = whole.or_else(|| number.as_f64().map(Number::Float));
    number.map_or(Document::Null, Document::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole() {
        for (double, expected) in [
            (5.0, Number::PosInt(5)),
            (-5.0, Number::NegInt(-5)),
            (0.0, Number::PosInt(0)),
            (5.5, Number::Float(5.5)),
            (1e300, Number::Float(1e300)),
            (json::MAX_SAFE, Number::PosInt(1 << 53)),
        ] {
            assert_eq!(value(json::number(double)), Document::Number(expected));
        }
        let text = "[18446744073709551615, -9223372036854775808, 9007199254740993]";
        let exact = [Number::PosInt(u64::MAX), Number::NegInt(i64::MIN), Number::PosInt((1 << 53) + 1)];
        let exact = Document::Array(exact.map(Document::Number).to_vec());
        assert_eq!(value(json::parse_text(text).unwrap()), exact);
    }
}
