//! A signature of AWS (SigV4): what its header says, and whether it is that of a request.
//!
//! The signature is computed again by the crate with which the AWS SDK signs, over the headers that it names, the path and query as they
//! were sent, and the hash of the body as it was received.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_lc_rs::constant_time;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use http::{HeaderMap, HeaderName, header::AUTHORIZATION, request::Parts};
use outcrop_secret_file::{ExposeSecret, SecretString};

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
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        let mut headers = Vec::new();
        for name in &self.signed_headers {
            let values = parts.headers.get_all(name.parse::<HeaderName>().ok()?);
            let before = headers.len();
            for value in values {
                headers.push((name.as_str(), value.to_str().ok()?));
            }
            // Over HTTP/2 the host is no header.
            match (headers.len() == before, name.as_str(), authority) {
                (true, "host", Some(authority)) => headers.push(("host", authority)),
                (true, ..) => return None,
                (false, ..) => {}
            }
        }
        let identity = Credentials::new(&self.key_id, secret.expose_secret(), None, None, "outcrop").into();
        let mut settings = SigningSettings::default();
        // The header names what was signed.
        settings.excluded_headers = None;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(self.made_at)
            .settings(settings)
            .build()
            .ok()?
            .into();
        let body = SignableBody::Precomputed(body.to_owned());
        let request = SignableRequest::new(parts.method.as_str(), target, headers.into_iter(), body).ok()?;
        sign(request, &parameters).ok().map(|output| output.into_parts().1)
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
