//! Where Bedrock is: an endpoint and its region.

use http::uri::{Authority, Scheme, Uri};

/// An endpoint of Bedrock Runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    region: String,
}

/// An upstream cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpstreamError(String);

impl Upstream {
    /// `bedrock` is AWS's endpoint in this region. A URL without a region is one that names its own:
    /// `https://bedrock-runtime.us-east-1.amazonaws.com`.
    ///
    /// # Errors
    /// If it is no URL of a server, or its region is not known.
    pub fn new(text: &str, region: Option<&str>) -> Result<Self, UpstreamError> {
        let unknown = || {
            UpstreamError(format!("the region of {text} is not known: set --region or AWS_REGION, such as us-east-1"))
        };
        let text = match text {
            "bedrock" => format!("https://bedrock-runtime.{}.amazonaws.com", region.ok_or_else(unknown)?),
            url => url.to_owned(),
        };
        let form = || UpstreamError(format!("{text:?} is neither `bedrock` nor a URL such as https://HOST[:PORT]"));
        let parts = text.parse::<Uri>().map_err(|_| form())?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(form()) };
        let is_root = parts.path_and_query.is_none_or(|path| path == "/");
        if !is_root || ![Scheme::HTTP, Scheme::HTTPS].contains(&scheme) {
            return Err(form());
        }
        let host = authority.host();
        let own = host.strip_suffix(".amazonaws.com").and_then(|host| host.split_once('.')).map(|(_, region)| region);
        let region = region.or(own).ok_or_else(unknown)?.to_owned();
        Ok(Self { scheme, authority, region })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(super) fn region(&self) -> &str {
        &self.region
    }

    /// The URI of a path there, as the client has encoded it.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_bedrock_or_a_url() {
        let uri = |text: &str, region| {
            let upstream = Upstream::new(text, region).unwrap();
            format!("{} {}", upstream.uri("/model/a%3A0/converse").unwrap(), upstream.region())
        };
        let east = "https://bedrock-runtime.us-east-1.amazonaws.com/model/a%3A0/converse us-east-1";
        assert_eq!(uri("bedrock", Some("us-east-1")), east);
        assert_eq!(uri("https://bedrock-runtime.us-east-1.amazonaws.com/", None), east);
        assert_eq!(
            uri("http://127.0.0.1:8991", Some("eu-west-1")),
            "http://127.0.0.1:8991/model/a%3A0/converse eu-west-1"
        );
    }

    #[test]
    fn a_wrong_upstream_is_refused() {
        for (text, region, expected) in [
            ("bedrock", None, "set --region"),
            ("http://127.0.0.1:1", None, "set --region"),
            ("bedrock-runtime", Some("x"), "is neither"),
            ("ftp://host", Some("x"), "is neither"),
            ("https://host/path", Some("x"), "is neither"),
            ("", Some("x"), "is neither"),
        ] {
            let error = Upstream::new(text, region).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
