//! Maps free JSON to the SDK's Document. Whole numbers stay whole, because a provider that expects `5` can refuse `5.0`, and
//! `google.protobuf.Value` has only doubles.

use aws_smithy_types::{Document, Number};
use prost_types::{Struct, Value, value::Kind};

use outcrop_contract::json::MAX_SAFE;

/// A JSON object.
pub(super) fn object(object: Struct) -> Document {
    Document::Object(object.fields.into_iter().map(|(name, member)| (name, value(member))).collect())
}

/// JSON of any kind.
pub(super) fn value(json: Value) -> Document {
    match json.kind {
        None | Some(Kind::NullValue(_)) => Document::Null,
        Some(Kind::BoolValue(bool)) => Document::Bool(bool),
        Some(Kind::NumberValue(number)) => Document::Number(self::number(number)),
        Some(Kind::StringValue(text)) => Document::String(text),
        Some(Kind::ListValue(list)) => Document::Array(list.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(members)) => object(members),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only whole numbers within the range are cast"
)]
fn number(number: f64) -> Number {
    if number.fract() != 0.0 || number.abs() > MAX_SAFE || !number.is_finite() {
        Number::Float(number)
    } else if number < 0.0 {
        Number::NegInt(number as i64)
    } else {
        Number::PosInt(number as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole() {
        assert_eq!(number(5.0), Number::PosInt(5));
        assert_eq!(number(-5.0), Number::NegInt(-5));
        assert_eq!(number(0.0), Number::PosInt(0));
        assert_eq!(number(5.5), Number::Float(5.5));
        assert_eq!(number(1e300), Number::Float(1e300));
        assert_eq!(number(MAX_SAFE), Number::PosInt(1 << 53));
    }
}
