//! Refuses JSON in which an object has a member twice. Parsers differ in which of the two counts, so what is checked here would not be what
//! Bedrock reads.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether each member of each object of a JSON text has a name of its own.
pub(super) fn is_unique(text: &str) -> bool {
    serde_json::from_str::<Unique>(text).is_ok()
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a member is there twice"));
            }
            members.next_value::<Unique>()?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::is_unique;

    #[test]
    fn a_member_twice_is_found_at_any_depth_and_however_it_is_written() {
        assert!(is_unique(r#"{"a": {"b": [1, -2, 0.5, "x", null, true, {"a": {}}]}, "b": {"a": 1}}"#));
        for twice in
            [r#"{"a": 1, "a": 1}"#, r#"{"b": [{"c": {"a": 1, "\u0061": 2}}]}"#, r#"{"s3Location":{},"s3Location":{}}"#]
        {
            assert!(!is_unique(twice), "{twice}");
        }
    }
}
