//! Proves that an answer of an operation without a stream is whole.

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
        let mut members = Members::new(object(body)?);
        for required in ["output", "stopReason", "usage"] {
            if members.json(required).map(|value| members.put(required, value)).is_none() {
                return Err(truncated(format!("the answer has no {required}")));
            }
        }
        let metadata = finish::metadata(&mut members);
        self.stop = Some(finish::stop(&mut members));
        self.metadata = Some(metadata);
        Ok(())
    }

    /// Accepts the answer of InvokeModel, whose usage stands in its headers.
    ///
    /// # Errors
    /// `UPSTREAM_TRUNCATED` if it is not JSON to its end.
    pub(crate) fn whole_native(&mut self, body: &[u8], input: Option<i32>, output: Option<i32>) -> Result<(), Error> {
        object(body)?;
        self.stop = Some(finish::Stop::default());
        if input.is_some() || output.is_some() {
            let source = UsageSource::InvocationMetrics.into();
            let usage = TokenUsage { input_tokens: input, output_tokens: output, source, ..TokenUsage::default() };
            self.metadata.get_or_insert_default().usage = Some(usage);
        }
        Ok(())
    }
}

/// The members of an answer. The error of the parser is dropped, because it can quote the completion.
fn object(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    serde_json::from_slice(body).map_err(|_| truncated("the answer is not JSON to its end"))
}
