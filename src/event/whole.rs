//! Proves that an answer of an operation without a stream is whole. Its content is checked to be JSON, and not kept.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{EventMapper, Members, finish};
use crate::{
    error::{Error, truncated},
    proto::{TokenUsage, UsageSource},
};

impl EventMapper {
    /// Accepts the answer of Converse.
    ///
    /// # Errors
    /// `UPSTREAM_TRUNCATED` if it is not JSON to its end, or lacks its message, its stop reason or its usage.
    pub(crate) fn whole_converse(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut members = Members::new(object(body, |name| name != "output")?);
        for required in ["output", "stopReason", "usage"] {
            if members.json(required).map(|value| members.put(required, value)).is_none() {
                return Err(truncated(format!("the answer has no {required}")));
            }
        }
        let metadata = finish::metadata(&mut members);
        self.stop = Some(Box::new(finish::stop(&mut members)));
        self.metadata = Some(Box::new(metadata));
        Ok(())
    }

    /// Accepts the answer of InvokeModel, whose usage stands in its headers.
    ///
    /// # Errors
    /// `UPSTREAM_TRUNCATED` if it is not JSON to its end.
    pub(crate) fn whole_native(&mut self, body: &[u8], input: Option<i32>, output: Option<i32>) -> Result<(), Error> {
        object(body, |_| false)?;
        self.stop = Some(Box::default());
        if input.is_some() || output.is_some() {
            let source = UsageSource::InvocationMetrics.into();
            let usage = TokenUsage { input_tokens: input, output_tokens: output, source, ..TokenUsage::default() };
            self.metadata.get_or_insert_default().usage = Some(usage);
        }
        Ok(())
    }
}

/// The members of an answer, of which only those that `keeps` names have their value. The error of the parser is dropped, because it can quote
/// the completion.
fn object(body: &[u8], keeps: fn(&str) -> bool) -> Result<Map<String, Value>, Error> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    let members = parser.deserialize_map(SelectedMembers(keeps)).and_then(|members| parser.end().map(|()| members));
    members.map_err(|_| truncated("the answer is not JSON to its end"))
}

/// Reads an object. Values that are not kept become null.
struct SelectedMembers(fn(&str) -> bool);

impl<'de> Visitor<'de> for SelectedMembers {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = from.next_key::<String>()? {
            let value = if (self.0)(&name) {
                from.next_value()?
            } else {
                from.next_value::<IgnoredAny>().map(|_| Value::Null)?
            };
            members.insert(name, value);
        }
        Ok(members)
    }
}
