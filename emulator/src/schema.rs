//! A value that a JSON schema accepts: always the same one, with the required members only.
//!
//! Patterns and conditions of a schema are not evaluated.

use serde_json::{Map, Value, json};

/// The most values that are made for a schema, because a schema can require itself.
const MOST: usize = 10_000;

/// How deep a value is at most.
const DEEPEST: usize = 32;

/// The text where a schema has no wishes.
const TEXT: &str = "emulated";

/// The most items and characters that are made because a schema asks for so many.
const LONGEST: u64 = 1_000;

/// A value for this schema.
pub(crate) fn value(schema: &Value) -> Value {
    Maker { root: schema, left: MOST }.value(schema, 0)
}

struct Maker<'a> {
    /// What `$ref` refers to.
    root: &'a Value,
    left: usize,
}

impl<'a> Maker<'a> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if self.left == 0 || depth > DEEPEST {
            return Value::Null;
        }
        self.left -= 1;
        if let Some(place) = schema["$ref"].as_str() {
            let referred = place.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return referred.map_or(Value::Null, |schema| self.value(schema, depth + 1));
        }
        let given = ["const", "default"].iter().find_map(|name| schema.get(*name).filter(|value| !value.is_null()));
        if let Some(given) = given.or_else(|| schema["enum"].get(0)) {
            return given.clone();
        }
        let choices = ["anyOf", "oneOf"].iter().find_map(|name| schema[*name].as_array());
        if let Some(choices) = choices {
            let chosen = choices.iter().find(|choice| choice["type"] != "null").or(choices.first());
            return chosen.map_or(Value::Null, |chosen| self.value(chosen, depth + 1));
        }
        match type_of(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" | "number" => number(schema),
            "boolean" => true.into(),
            "null" => Value::Null,
            _ => text(schema).into(),
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut members = Map::new();
        for part in schema["allOf"].as_array().into_iter().flatten() {
            if let Value::Object(more) = self.value(part, depth + 1) {
                members.extend(more);
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let value = schema["properties"].get(name).map_or_else(|| TEXT.into(), |own| self.value(own, depth + 1));
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(1).min(LONGEST);
        let count = schema["maxItems"].as_u64().map_or(least, |most| least.min(most));
        let item = schema.get("items");
        (0..count).map(|_| item.map_or_else(|| TEXT.into(), |item| self.value(item, depth + 1))).collect()
    }
}

/// The type that a schema names, or the one that its members mean.
fn type_of(schema: &Value) -> &str {
    let named = match &schema["type"] {
        Value::String(name) => Some(name.as_str()),
        Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    let has = |names: &[&str]| names.iter().any(|name| schema.get(*name).is_some());
    named.unwrap_or(match () {
        () if has(&["properties", "required", "allOf"]) => "object",
        () if has(&["items"]) => "array",
        () => "string",
    })
}

fn number(schema: &Value) -> Value {
    let of = |name: &str| schema[name].as_f64();
    let step = of("multipleOf").filter(|step| *step > 0.0).unwrap_or(1.0);
    let least = of("minimum").or_else(|| of("exclusiveMinimum").map(|bound| bound + step));
    let most = of("maximum").or_else(|| of("exclusiveMaximum").map(|bound| bound - step));
    let wanted = least.unwrap_or_else(|| most.map_or(1.0, |most| most.min(1.0)));
    let multiple = if schema.get("multipleOf").is_some() { (wanted / step).ceil() * step } else { wanted };
    let whole = schema["type"] == "integer" || multiple.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, reason = "a number beyond 64 bits becomes the nearest that has them")]
    let integer = multiple.ceil() as i64;
    if whole { json!(integer) } else { json!(multiple) }
}

fn text(schema: &Value) -> String {
    let format = match schema["format"].as_str().unwrap_or_default() {
        "date" => "2024-01-01",
        "date-time" => "2024-01-01T00:00:00Z",
        "time" => "00:00:00Z",
        "duration" => "PT1S",
        "email" => "emulated@example.com",
        "hostname" => "example.com",
        "uri" | "url" => "https://example.com/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        _ => TEXT,
    };
    let length =
        |name: &str| schema[name].as_u64().map(|length| usize::try_from(length.min(LONGEST)).unwrap_or_default());
    let most = length("maxLength").unwrap_or(usize::MAX);
    let least = length("minLength").unwrap_or_default().max(format.len()).min(most);
    format.chars().chain(std::iter::repeat('x')).take(least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_members_have_values_of_their_types() {
        let schema = json!({
            "type": "object", "required": ["city", "unit", "days", "ratio", "now", "tags", "place", "when", "note", "kind"],
            "properties": {
                "city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
                "days": {"type": "integer", "minimum": 3, "maximum": 7},
                "ratio": {"type": "number", "exclusiveMaximum": 0.5, "minimum": 0.25},
                "now": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
                "place": {"$ref": "#/$defs/Place"}, "when": {"type": "string", "format": "date"},
                "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 3}]}, "kind": {"const": "report"},
                "optional": {"type": "string"},
            },
            "$defs": {"Place": {"type": "object", "required": ["lat"], "properties": {"lat": {"type": ["null", "number"]}}}},
        });
        let expected = json!({
            "city": "emulated", "unit": "celsius", "days": 3, "ratio": 0.25, "now": true,
            "tags": ["emulated", "emulated"], "place": {"lat": 1}, "when": "2024-01-01", "note": "emu", "kind": "report",
        });
        assert_eq!(value(&schema), expected);
    }

    #[test]
    fn a_schema_that_requires_itself_gives_a_bounded_value() {
        let own = json!({"$ref": "#"});
        let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "array", "minItems": 1_000_000, "items": own}, "b": own,
        }});
        assert!(value(&schema).to_string().len() < MOST * 20);
        assert_eq!(value(&json!(true)), "emulated");
        let shortest = json!({"type": "string", "minLength": 10, "maxLength": 12});
        assert_eq!(value(&shortest), "emulatedxx");
    }
}
