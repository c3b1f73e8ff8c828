//! A signature of AWS (SigV4): what its header says, and whether it is that of a request.
//!
//! The signature is computed again over the headers that it names, the path and query as they were sent, and the hash of the body as it
//! was received.

use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time;
use aws_sigv4::sign::v4;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use outcrop_secret_file::{ExposeSecret, SecretString};

use super::canonical;

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The service of the Bedrock Runtime API in signatures.
const SERVICE: &str = "bedrock";

/// How far the clocks of a caller and of the server can differ, and so how long a signature can be used.
pub(super) const WINDOW: Duration = Duration::from_mins(5);

const DATE: &str = "x-amz-date";
const PAYLOAD: &str = "x-amz-content-sha256";

/// What the header of a signature says.
#[derive(Debug)]
pub(super) struct Signature {
    /// The access key id.
    pub(super) key_id: String,
    region: String,
    signed_headers: Vec<String>,
    /// 64 hexadecimal digits.
    pub(super) digits: String,
    /// When it was made.
    pub(super) made_at: SystemTime,
}

/// Whether a request is signed, well or not.
pub(super) fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"))
}

impl Signature {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// What is wrong with the signature before its bytes are compared, for people.
    pub(super) fn read(headers: &HeaderMap, region: &str, now: SystemTime) -> Result<Self, String> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err("the request has more than one `authorization`".to_owned());
        };
        let text = value.to_str().map_err(|_| "the `authorization` is not text".to_owned())?;
        let incomplete =
            || format!("the `authorization` is not `{ALGORITHM} Credential=…, SignedHeaders=…, Signature=…`");
        let fields = text.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')).ok_or_else(incomplete)?;
        let field = |name: &str| {
            let mut found = fields.split(',').filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.next().filter(|_| found.next().is_none()).ok_or_else(incomplete)
        };
        let (credential, signed, digits) = (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
        let scope: Vec<_> = credential.split('/').collect();
        let [key_id, day, own_region, service, "aws4_request"] = scope[..] else { return Err(incomplete()) };
        if service != SERVICE {
            return Err(format!("the request is signed for the service {service:?}, and this one is {SERVICE:?}"));
        }
        if own_region != region {
            return Err(format!(
                "the request is signed for the region {own_region:?}, and this server is in {region:?}"
            ));
        }
        let made_at = time_of(headers, day)?;
        let apart = now.duration_since(made_at).or_else(|_| made_at.duration_since(now)).unwrap_or_default();
        if apart > WINDOW {
            return Err(format!(
                "the signature is {apart:.0?} away from the clock of the server, and {WINDOW:?} are allowed"
            ));
        }
        check_payload(headers)?;
        let signed_headers = signed.split(';').map(str::to_owned).collect();
        let (key_id, region, digits) = (key_id.to_owned(), region.to_owned(), digits.to_owned());
        Ok(Self { key_id, region, signed_headers, digits, made_at })
    }

    /// Whether it is that of a request with this path and query, and a body with this hash in hexadecimal digits. `None`: it cannot be
    /// computed for such a request.
    pub(super) fn is_of(&self, parts: &Parts, target: &str, body: &str, secret: &SecretString) -> bool {
        self.computed(parts, target, body, secret).is_some_and(|computed| {
            constant_time::verify_slices_are_equal(computed.as_bytes(), self.digits.as_bytes()).is_ok()
        })
    }

    fn computed(&self, parts: &Parts, target: &str, body: &str, secret: &SecretString) -> Option<String> {
        let hash = canonical::hash(parts, target, &self.signed_headers, body)?;
        let time = parts.headers.get(DATE)?.to_str().ok()?;
        let (day, region) = (time.get(..8)?, &self.region);
        let text = format!("{ALGORITHM}\n{time}\n{day}/{region}/{SERVICE}/aws4_request\n{hash}");
        let key = v4::generate_signing_key(secret.expose_secret(), self.made_at, region, SERVICE);
        Some(v4::calculate_signature(key, text.as_bytes()))
    }
}

/// The time in the headers, which must be on the day of the signature.
fn time_of(headers: &HeaderMap, day: &str) -> Result<SystemTime, String> {
    let text = headers.get(DATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wrong =
        || format!("the header {DATE} is {text:?}; it must be a time such as 20260131T120000Z on the day {day:?}");
    let is_form = text.len() == 16
        && text.is_ascii()
        && text.starts_with(day)
        && text.as_bytes()[8] == b'T'
        && text.ends_with('Z');
    if !is_form {
        return Err(wrong());
    }
    let [year, month, date] = [&text[..4], &text[4..6], &text[6..8]];
    let [hour, minute, second] = [&text[9..11], &text[11..13], &text[13..15]];
    let time = format!("{year}-{month}-{date}T{hour}:{minute}:{second}Z");
    humantime::parse_rfc3339(&time).map_err(|_| wrong())
}

/// Refuses forms of a body whose bytes the signature does not cover.
fn check_payload(headers: &HeaderMap) -> Result<(), String> {
    let Some(payload) = headers.get(PAYLOAD) else { return Ok(()) };
    let text = String::from_utf8_lossy(payload.as_bytes());
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!("the header {PAYLOAD} is {text:?}. Sign the whole body: chunks and unsigned bodies are not taken"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::digest::{hexadecimal, sha256};

    /// Whether a request is signed with this secret, by its own time.
    fn is_valid(request: &Request<&str>, secret: &str) -> bool {
        let (parts, body) = request.clone().into_parts();
        let made_at = time_of(&parts.headers, &parts.headers[DATE].to_str().unwrap()[..8]).unwrap();
        let signature = Signature::read(&parts.headers, "us-east-1", made_at).unwrap();
        let target = parts.uri.path_and_query().unwrap().to_string();
        signature.is_of(&parts, &target, &hexadecimal(&sha256(body.as_bytes())), &secret.into())
    }

    proptest! {
        #[test]
        fn what_the_crate_of_the_sdk_signs_is_valid_and_nothing_else(
            id in "[a-z0-9.:-]{1,20}(%2F|%3A|%C3%A4|~|_|,|!)[a-z]{1,5}",
            query in "(|\\?|\\?([a-zA-Z0-9._~+-]|%2[0-9a-f]|&|=){1,30})",
            value in "[!-~]( {0,3}[!-~]){0,9}",
            body in "[ -~]{0,20}",
            seconds in 0_u64..4_000_000_000,
        ) {
            let uri = format!("http://outcrop.example:50051/model/{id}/converse{query}");
            let headers = [("host", "outcrop.example:50051"), ("x-amz-user-agent", value.as_str())];
            let identity = Credentials::new("id", "secret", None, None, "test").into();
            let parameters = v4::SigningParams::builder()
                .identity(&identity)
                .region("us-east-1")
                .name(SERVICE)
                .time(UNIX_EPOCH + Duration::from_secs(seconds))
                .settings(SigningSettings::default())
                .build()
                .unwrap()
                .into();
            let mut request = Request::post(&uri).body(body.as_str()).unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            let signable = SignableBody::Bytes(body.as_bytes());
            let signable = SignableRequest::new("POST", uri, headers.into_iter(), signable).unwrap();
            sign(signable, &parameters).unwrap().into_parts().0.apply_to_request_http1x(&mut request);
            prop_assert!(is_valid(&request, "secret"));
            prop_assert!(!is_valid(&request, "another"));
            *request.body_mut() = "another body than those of above";
            prop_assert!(!is_valid(&request, "secret"));
        }
    }

    #[test]
    fn the_authority_can_be_signed_in_place_of_the_host() {
        // As the AWS SDK for JavaScript signs over HTTP/2.
        let text = "AWS4-HMAC-SHA256 Credential=a/20261126/us-east-1/bedrock/aws4_request, \
            SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;x-amz-content-sha256;\
            x-amz-date;x-amz-user-agent, Signature=cb0130cf2db1c311d4233a08b1e4a98b938266db5b3435b43f516102c75fbfa0";
        let path = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse";
        let of = |authority: &str| {
            Request::post(format!("http://{authority}{path}"))
                .header("content-type", "application/json")
                .header("content-length", "15")
                .header("x-amz-user-agent", "aws-sdk-js/3.1163.0")
                .header("amz-sdk-invocation-id", "cdcfec27-5d81-467c-b6dc-43db8df90662")
                .header("amz-sdk-request", "attempt=1; max=1")
                .header("x-amz-date", "20261126T144028Z")
                .header(PAYLOAD, "5e4ce7b36ba37b78a5d5f9fd08e6b7b54ba6879d651aa46ec9e1d6fa24ebe30a")
                .header(AUTHORIZATION, text)
                .body(r#"{"messages":[]}"#)
                .unwrap()
        };
        assert!(is_valid(&of("127.0.0.1:35087"), "b"));
        assert!(!is_valid(&of("127.0.0.1:35088"), "b"));
    }
}
