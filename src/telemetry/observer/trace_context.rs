//! The trace of the caller, in the headers of W3C Trace Context: `traceparent` and `tracestate`. Baggage is not passed on.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 0.
const PARENT_LENGTH: usize = 55;

/// The maximum length of `tracestate`, in bytes. A longer one is left out, as the recommendation allows from 512 on.
const MAX_STATE: usize = 1024;

/// The headers of a request.
struct Received<'a> {
    parent: Option<&'a str>,
    state: String,
}

/// The headers of a request to be sent.
struct Sent(HeaderMap);

/// The trace of a request. Without a valid `traceparent` it is empty.
pub(super) fn extract(headers: &HeaderMap) -> Context {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next().and_then(|parent| parent.to_str().ok()).filter(|parent| is_well_formed(parent));
    // Two of them contradict each other.
    let parent = parent.filter(|_| parents.next().is_none());
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().filter_map(|state| state.to_str().ok()).collect();
    let state = Some(states.join(",")).filter(|state| state.len() <= MAX_STATE).unwrap_or_default();
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Received { parent, state })
}

/// The headers that continue this trace. None if there is no trace.
pub(super) fn inject(context: &Context) -> HeaderMap {
    let mut sent = Sent(HeaderMap::new());
    TraceContextPropagator::new().inject_context(context, &mut sent);
    sent.0
}

/// Whether each part has its length, which the library does not check.
fn is_well_formed(parent: &str) -> bool {
    let lengths: Vec<_> = parent.split('-').take(4).map(str::len).collect();
    lengths == [2, 32, 16, 2] && (parent.len() == PARENT_LENGTH || !parent.starts_with("00"))
}

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => self.parent,
            TRACESTATE => Some(&self.state),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

impl Injector for Sent {
    fn set(&mut self, key: &str, value: String) {
        let header = (HeaderName::try_from(key), HeaderValue::try_from(value));
        if let (Ok(name), Ok(value)) = header
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(headers: &[(&'static str, &str)]) -> Vec<(String, String)> {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut received = HeaderMap::new();
        for (name, value) in headers {
            received.append(name, value);
        }
        let sent = inject(&extract(&received));
        sent.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    #[test]
    fn a_trace_is_passed_on_and_nothing_else() {
        let parent = ("traceparent".to_owned(), PARENT.to_owned());
        assert_eq!(passed_on(&[("traceparent", PARENT), ("baggage", "a=b"), ("b3", "0")]), from_ref(&parent));
        let state = ("tracestate".to_owned(), "a=1,b=2".to_owned());
        let both = passed_on(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        assert_eq!(both, [parent.clone(), state]);
        let long = format!("a={}", "x".repeat(MAX_STATE));
        assert_eq!(passed_on(&[("traceparent", PARENT), ("tracestate", &long)]), from_ref(&parent));
        assert_eq!(passed_on(&[("traceparent", PARENT), ("tracestate", "no pair")]), [parent]);
    }

    #[test]
    fn an_invalid_trace_is_not_passed_on() {
        for parent in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-1-1-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c8031zz-b7ad6b7169203331-01",
        ] {
            assert_eq!(passed_on(&[("traceparent", parent), ("tracestate", "a=1")]), [], "{parent}");
        }
        assert_eq!(passed_on(&[("traceparent", PARENT), ("traceparent", PARENT)]), []);
        assert_eq!(passed_on(&[("tracestate", "a=1")]), []);
    }
}
