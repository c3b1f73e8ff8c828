//! JSON that travels as text, because `google.protobuf.Value` has doubles for all numbers.

use serde_json::{Map, Value};

use super::check_levels;

/// Doubles hold every whole number up to here exactly.
const EXACT: u64 = 1 << 53;

/// JSON text as a value, with its numbers as they are written: whole numbers have 64 bits, all others are doubles.
///
/// # Errors
/// What is wrong with the text, and where: it is not JSON, is nested deeper than [`MAX_NESTING`](super::MAX_NESTING), or holds a whole number
/// of more than 64 bits.
pub fn parse_text(text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    check_levels(nesting(&value))?;
    match too_large(text) {
        Some(at) => Err(format!("holds a whole number of more than 64 bits at byte {at}. Send it as a string")),
        None => Ok(value),
    }
}

/// The text of a JSON object, as [`parse_text`] reads it.
///
/// # Errors
/// As [`parse_text`], and if it is not an object.
pub fn parse_object_text(text: &str) -> Result<Map<String, Value>, String> {
    match parse_text(text)? {
        Value::Object(members) => Ok(members),
        _ => Err("is not a JSON object".to_owned()),
    }
}

/// Whether the numbers of a value are the same as doubles.
pub(crate) fn survives_as_doubles(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            magnitude.is_none_or(|magnitude| magnitude <= EXACT)
        }
        Value::Array(items) => items.iter().all(survives_as_doubles),
        Value::Object(members) => members.values().all(survives_as_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn nesting(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(nesting).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(nesting).max().unwrap_or(0),
        _ => 0,
    }
}

/// Where the first whole number of more than 64 bits is. The text is JSON: the parser has accepted it, with a double in place of the number.
fn too_large(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        let start = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])?;
        rest = &rest[start..];
        let length = if rest.starts_with('"') {
            string_length(rest)
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(rest.len());
            let number = &rest[..end];
            let is_whole = !number.contains(['.', 'e', 'E']);
            if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                return Some(text.len() - rest.len());
            }
            end
        };
        rest = &rest[length..];
    }
}

/// The bytes of the string with which JSON text begins, with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::MAX_NESTING;

    #[test]
    fn whole_numbers_of_64_bits_are_exact_and_larger_ones_refused() {
        for number in
            ["0", "-1", "9007199254740993", "18446744073709551615", "-9223372036854775808", "1.5", "1e3", "-0.25"]
        {
            let text = format!(r#"{{"a\"1": [{number}, "99999999999999999999"]}}"#);
            let value = parse_text(&text).unwrap();
            let expected = if number == "1e3" { "1000.0" } else { number };
            assert_eq!(value["a\"1"][0].to_string(), expected);
        }
        for number in ["18446744073709551616", "-9223372036854775809", "123456789012345678901234567890"] {
            let text = format!(r#"{{"\\": "1", "n": {number}}}"#);
            let error = parse_text(&text).unwrap_err();
            assert!(error.contains("at byte 17"), "{error}");
        }
    }

    #[test]
    fn broken_and_deep_text_is_refused_with_its_place() {
        assert!(parse_text("{\"a\": }").unwrap_err().contains("line 1 column 7"));
        assert!(parse_text("").unwrap_err().contains("is not JSON"));
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_text(&deep(MAX_NESTING)).is_ok());
        assert!(parse_text(&deep(MAX_NESTING + 1)).unwrap_err().contains("has 31 levels"));
        assert!(parse_text(&deep(100_000)).unwrap_err().contains("recursion limit"));
        assert_eq!(parse_object_text("[1]").unwrap_err(), "is not a JSON object");
    }

    #[test]
    fn doubles_are_enough_up_to_two_to_the_53() {
        for (text, survives) in [("[9007199254740992, 0.1, \"x\"]", true), ("{\"a\": 9007199254740993}", false)] {
            assert_eq!(survives_as_doubles(&parse_text(text).unwrap()), survives, "{text}");
        }
    }
}
