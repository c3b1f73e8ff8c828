//! The operation and the model of a request, from its path.

use http::{Method, Request, Uri, Version, header::CONTENT_ENCODING, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

use crate::{
    error::{Error, Reason},
    request::relayed::Operation,
};

/// What a request of the API asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An answer of a model.
    Answer {
        /// The operation.
        operation: Operation,
        /// The model, route or alias.
        model: String,
    },
    /// The number of tokens of a request to a model, route or alias.
    TokenCount {
        /// The model, route or alias.
        model: String,
    },
    /// The models that the caller may name.
    Models,
    /// The inference profiles that the caller may name.
    Profiles,
}

/// Marks a request of the API, whose path was replaced by that of its method.
#[derive(Clone, Debug)]
pub(crate) struct ApiCall {
    /// What it asks for.
    pub(crate) asked: Asked,
    /// Its own path and query, which a signature covers.
    pub(crate) target: String,
}

/// The beginning of the paths that name a model.
const MODEL: &str = "/model/";

/// The methods of the generation service that the operations are.
pub(crate) const GENERATE: &str = "/outcrop.v1.GenerationService/Generate";
pub(crate) const COUNT_TOKENS: &str = "/outcrop.v1.GenerationService/CountTokens";
pub(crate) const LIST_MODELS: &str = "/outcrop.v1.GenerationService/ListModels";

/// The paths of the listings, and of the count, by its end.
const MODELS: &str = "/foundation-models";
const PROFILES: &str = "/inference-profiles";
const COUNT: &str = "count-tokens";

/// The operations on a model, by the end of their paths.
const OPERATIONS: [(&str, Operation); 4] = [
    ("converse-stream", Operation::ConverseStream),
    ("converse", Operation::Converse),
    ("invoke-with-response-stream", Operation::InvokeModelWithResponseStream),
    ("invoke", Operation::InvokeModel),
];

/// The beginnings of paths of Bedrock, also of operations that this server has not.
const PATHS: [&str; 7] = [
    "/model/",
    "/foundation-models",
    "/inference-profiles",
    "/guardrail/",
    "/async-invoke",
    "/prompt-routers",
    "/custom-models",
];

impl ApiCall {
    /// Whether a request is for the API, and neither gRPC nor for the page.
    pub(crate) fn is_for_api<B>(request: &Request<B>) -> bool {
        let is_signed = request.headers().keys().any(|name| name.as_str().starts_with("x-amz-"));
        is_signed || PATHS.iter().any(|path| request.uri().path().starts_with(path))
    }

    /// Reads a request, and replaces its path by that of its method.
    ///
    /// # Errors
    /// `UNKNOWN_METHOD`, `MALFORMED_REQUEST`.
    pub(crate) fn take<B>(request: &mut Request<B>) -> Result<Self, Error> {
        if request.version() < Version::HTTP_11 {
            return Err(malformed("the request is HTTP/1.0. Send HTTP/1.1 or HTTP/2"));
        }
        let encodings = request.headers().get_all(CONTENT_ENCODING);
        if let Some(other) = encodings.iter().find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(malformed(format!("the content-encoding {other:?} is not taken. Send the body as it is")));
        }
        let (asked, method) = read(request.method(), request.uri().path())?;
        let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(PathAndQuery::from_static(method));
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|_| malformed("the address of the request is not valid"))?;
        Ok(Self { asked, target })
    }
}

fn read(method: &Method, path: &str) -> Result<(Asked, &'static str), Error> {
    let unknown = || {
        let ends = OPERATIONS.iter().map(|(end, _)| *end).chain([COUNT]);
        let operations: Vec<_> = ends.map(|end| format!("POST {MODEL}ID/{end}")).collect();
        let message = format!(
            "there is no operation {method} {path}. There are: {}, GET {MODELS}, GET {PROFILES}",
            operations.join(", ")
        );
        Error::new(Reason::UnknownMethod, message)
    };
    match (method, path) {
        (&Method::GET, MODELS) => return Ok((Asked::Models, LIST_MODELS)),
        (&Method::GET, PROFILES) => return Ok((Asked::Profiles, LIST_MODELS)),
        (&Method::POST, _) => {}
        _ => return Err(unknown()),
    }
    let (model, end) = path.strip_prefix(MODEL).and_then(|rest| rest.rsplit_once('/')).ok_or_else(unknown)?;
    if end == COUNT {
        return Ok((Asked::TokenCount { model: model_id(model)? }, COUNT_TOKENS));
    }
    let (_, operation) = OPERATIONS.iter().find(|(name, _)| *name == end).ok_or_else(unknown)?;
    Ok((Asked::Answer { operation: *operation, model: model_id(model)? }, GENERATE))
}

/// The model id of a path. An ARN is there with `/` or with `%2F`.
fn model_id(encoded: &str) -> Result<String, Error> {
    let decoded = percent_decode_str(encoded).decode_utf8();
    let model = decoded.map_err(|_| malformed("the model id in the path is not UTF-8"))?.into_owned();
    if model.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(malformed(format!("the model id {model:?} in the path has an empty part, or one of dots alone")));
    }
    Ok(model)
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(Reason::MalformedRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_post(path: &str) -> Result<(Operation, String), Reason> {
        match read(&Method::POST, path).map_err(|error| error.reason())?.0 {
            Asked::Answer { operation, model } => Ok((operation, model)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_model_id_is_read_however_it_is_encoded() {
        let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0";
        for encoded in [
            arn.to_owned(),
            arn.replace(':', "%3A"),
            arn.replace(':', "%3A").replace('/', "%2F"),
            arn.replace('/', "%2f"),
        ] {
            let path = format!("/model/{encoded}/converse-stream");
            assert_eq!(read_post(&path), Ok((Operation::ConverseStream, arn.to_owned())), "{path}");
        }
        assert_eq!(read_post("/model/a.b/invoke"), Ok((Operation::InvokeModel, "a.b".to_owned())));
    }

    #[test]
    fn other_paths_are_refused() {
        for (path, reason) in [
            ("/model/a/unknown", Reason::UnknownMethod),
            ("/model/converse", Reason::UnknownMethod),
            ("/model//converse", Reason::MalformedRequest),
            ("/model/../converse", Reason::MalformedRequest),
            ("/model/%2e%2e/converse", Reason::MalformedRequest),
            ("/model/a%2F..%2Fb/converse", Reason::MalformedRequest),
            ("/model/%ff/converse", Reason::MalformedRequest),
            ("/guardrail/x/apply", Reason::UnknownMethod),
        ] {
            assert_eq!(read_post(path), Err(reason), "{path}");
        }
        assert!(read(&Method::GET, "/model/a/converse").is_err());
    }
}
