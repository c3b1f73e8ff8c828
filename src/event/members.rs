//! A JSON object whose known members are removed one by one. The remaining members are unknown.
//!
//! A member that has another type than expected is not removed, so it is not lost.

use prost_types::Struct;
use serde_json::{Map, Value};

use outcrop_contract::json;

/// Bedrock's padding: a prefix of [`ALPHABET`] of random length. It hides the length of a frame from observers of the network.
const PADDING: &str = "p";

/// The characters of padding, in order.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The remaining members.
#[derive(Debug)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// The members of a provider's chunk, which has no padding.
    pub(crate) fn of_chunk(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The members of the payload of an event, without Bedrock's padding.
    pub(crate) fn new(mut members: Map<String, Value>) -> Self {
        if members.get(PADDING).and_then(Value::as_str).is_some_and(is_padding) {
            members.remove(PADDING);
        }
        Self(members)
    }

    /// Removes a string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// Removes a whole number of 32 bits.
    pub(crate) fn int32(&mut self, name: &str) -> Option<i32> {
        self.take(name, |value| whole(&value).and_then(|number| number.try_into().ok()).ok_or(value))
    }

    /// Removes a string that `decode` accepts.
    pub(crate) fn decoded<T>(&mut self, name: &str, decode: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.take(name, |value| value.as_str().and_then(decode).ok_or(value))
    }

    /// Removes a boolean.
    pub(crate) fn bool(&mut self, name: &str) -> Option<bool> {
        self.take(name, |value| value.as_bool().ok_or(value))
    }

    /// Removes a member that is null.
    pub(crate) fn null(&mut self, name: &str) {
        if self.0.get(name).is_some_and(Value::is_null) {
            self.0.remove(name);
        }
    }

    /// Puts a member back.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Removes a member of any type.
    pub(crate) fn json(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// Removes an object.
    pub(crate) fn map(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.take(name, |value| match value {
            Value::Object(members) => Ok(members),
            other => Err(other),
        })
    }

    /// Removes the known members of an object. Unknown members stay. `None` if `read` returns `None`.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Members) -> Option<T>) -> Option<T> {
        let Value::Object(members) = self.0.get_mut(name)? else { return None };
        let mut inner = Members(std::mem::take(members));
        let result = read(&mut inner);
        if inner.0.is_empty() && result.is_some() {
            self.0.remove(name);
        } else {
            *members = inner.0;
        }
        result
    }

    /// Removes the known members of each object in an array. If an object has unknown members, the array stays with those.
    pub(crate) fn list<T>(&mut self, name: &str, mut read: impl FnMut(&mut Members) -> T) -> Option<Vec<T>> {
        let Value::Array(items) = self.0.get(name)? else { return None };
        if !items.iter().all(Value::is_object) {
            return None;
        }
        let Some(Value::Array(items)) = self.0.remove(name) else { return None };
        let (mut results, mut rests) = (Vec::new(), Vec::new());
        for item in items {
            let Value::Object(members) = item else { continue };
            let mut inner = Members(members);
            results.push(read(&mut inner));
            rests.push(inner.0);
        }
        if rests.iter().any(|rest| !rest.is_empty()) {
            self.0.insert(name.to_owned(), rests.into_iter().map(Value::Object).collect());
        }
        Some(results)
    }

    /// Whether no member remains.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The remaining members.
    pub(crate) fn into_rest(self) -> Map<String, Value> {
        self.0
    }

    /// The remaining members as the `unrecognized` of a chunk.
    pub(crate) fn rest(self, event_type: &str) -> Option<Struct> {
        if self.0.is_empty() {
            return None;
        }
        Some(json::to_struct(Map::from_iter([(event_type.to_owned(), Value::Object(self.0))])))
    }

    fn take<T>(&mut self, name: &str, convert: impl FnOnce(Value) -> Result<T, Value>) -> Option<T> {
        let value = self.0.remove(name)?;
        match convert(value) {
            Ok(converted) => Some(converted),
            Err(value) => {
                self.0.insert(name.to_owned(), value);
                None
            }
        }
    }
}

/// Whether a member `p` is Bedrock's padding.
pub(super) fn is_padding(text: &str) -> bool {
    ALPHABET.starts_with(text)
}

/// A whole number, also one that is written as `5.0`, as Bedrock does beside a guardrail.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a double holds exactly are cast")]
fn whole(value: &Value) -> Option<i64> {
    let double =
        || value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64);
    value.as_i64().or_else(double)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(json: Value) -> Members {
        let Value::Object(map) = json else { panic!("an object") };
        Members::new(map)
    }

    #[test]
    fn what_is_taken_is_gone_and_the_rest_stays() {
        let mut all = members(json!({"p": "abc", "a": "x", "b": {"c": 1, "d": 2}, "e": [{"f": "g"}, {"h": 1}]}));
        assert_eq!(all.text("a").as_deref(), Some("x"));
        assert_eq!(all.object("b", |inner| inner.int32("c")), Some(1));
        assert_eq!(all.list("e", |inner| inner.text("f")), Some(vec![Some("g".into()), None]));
        assert_eq!(Value::Object(all.into_rest()), json!({"b": {"d": 2}, "e": [{}, {"h": 1}]}));
    }

    #[test]
    fn only_padding_is_dropped() {
        for padding in ["", "a", "abcdefghij", ALPHABET] {
            assert!(members(json!({"p": padding})).is_empty(), "{padding}");
        }
        for other in [json!("hello"), json!("b"), json!(0.5), json!({"a": 1}), json!(null)] {
            assert_eq!(members(json!({"p": other})).json("p"), Some(other));
        }
        let chunk = json!({"p": "abc"}).as_object().cloned().unwrap();
        assert!(!Members::of_chunk(chunk).is_empty(), "a provider's chunk has no padding");
    }

    #[test]
    fn a_member_of_another_type_is_left() {
        let json = json!({"a": 1, "b": "x", "c": 1.5, "d": {}, "e": ["x"]});
        let mut all = members(json.clone());
        assert_eq!(all.text("a"), None);
        assert_eq!(all.int32("b"), None);
        assert_eq!(all.int32("c"), None);
        assert_eq!(all.object("d", |inner| inner.text("x")), None);
        assert_eq!(all.list("e", |inner| inner.text("x")), None);
        assert_eq!(Value::Object(all.into_rest()), json);
    }
}
