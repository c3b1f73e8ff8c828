//! A JSON object whose members are taken out one by one. What is left in the end was not understood.
//!
//! A member of another type than expected is not taken, so it is left too: nothing is lost, and nothing is guessed.

use prost_types::Struct;
use serde_json::{Map, Value};

use outcrop_contract::json;

/// Bedrock's padding: a beginning of [`ALPHABET`] of random length, which hides the length of a frame from onlookers.
const PADDING: &str = "p";

/// What padding consists of.
const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The members that were not taken yet.
#[derive(Debug)]
pub(crate) struct Members(Map<String, Value>);

impl Members {
    /// The members of a provider's own chunk. It has no padding, and a member `p` is the provider's.
    pub(crate) fn of_chunk(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// The members of the payload of an event, without Bedrock's padding.
    pub(crate) fn new(mut members: Map<String, Value>) -> Self {
        if members.get(PADDING).and_then(Value::as_str).is_some_and(|padding| ALPHABET.starts_with(padding)) {
            members.remove(PADDING);
        }
        Self(members)
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name, |value| match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        })
    }

    /// A whole number of 32 bits.
    pub(crate) fn int32(&mut self, name: &str) -> Option<i32> {
        self.take(name, |value| whole(&value).and_then(|number| number.try_into().ok()).ok_or(value))
    }

    /// A string that `decode` understands.
    pub(crate) fn decoded<T>(&mut self, name: &str, decode: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        self.take(name, |value| value.as_str().and_then(decode).ok_or(value))
    }

    /// A truth value.
    pub(crate) fn bool(&mut self, name: &str) -> Option<bool> {
        self.take(name, |value| value.as_bool().ok_or(value))
    }

    /// Takes a member that says nothing: null.
    pub(crate) fn null(&mut self, name: &str) {
        if self.0.get(name).is_some_and(Value::is_null) {
            self.0.remove(name);
        }
    }

    /// Puts a member back that was looked at.
    pub(crate) fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// JSON of any kind.
    pub(crate) fn json(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A JSON object, whole.
    pub(crate) fn map(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.take(name, |value| match value {
            Value::Object(members) => Ok(members),
            other => Err(other),
        })
    }

    /// An object, of which `read` takes what it knows. `None` also if `read` knows nothing of it.
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

    /// An array of objects, each read by `read`. If anything of an item is left, the array is left with these rests.
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

    /// Whether everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not taken.
    pub(crate) fn into_rest(self) -> Map<String, Value> {
        self.0
    }

    /// What was not taken, as the `unrecognized` of a chunk.
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
