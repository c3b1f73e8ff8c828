//! GetCallerIdentity of AWS STS, which programs ask at their start. It speaks forms and XML.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;

/// The account of the emulator, as in its ARNs.
pub(crate) const ACCOUNT: &str = "000000000000";

/// The number of every request.
const REQUEST: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) fn answer(body: &Bytes) -> Response {
    let action = form_urlencoded::parse(body).find(|(name, _)| name == "Action").map(|(_, action)| action.into_owned());
    if action.as_deref() == Some("GetCallerIdentity") {
        let identity = format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::{ACCOUNT}:user/emulator</Arn><UserId>AIDAEMULATOR</UserId><Account>{ACCOUNT}</Account>\
             </GetCallerIdentityResult><ResponseMetadata><RequestId>{REQUEST}</RequestId></ResponseMetadata>\
             </GetCallerIdentityResponse>"
        );
        return xml(StatusCode::OK, identity);
    }
    xml(
        StatusCode::BAD_REQUEST,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
             <Code>InvalidAction</Code><Message>Of STS the emulator has GetCallerIdentity only.</Message></Error>\
             <RequestId>{REQUEST}</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "text/xml")], body).into_response()
}
