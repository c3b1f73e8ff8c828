//! Servers that share the limits of callers.

use futures_util::FutureExt;

use super::*;
use crate::quota::slots::Share;

#[tokio::test(start_paused = true)]
async fn a_caller_that_has_used_its_whole_limit_makes_no_server_ask_for_more() {
    let (admission, caller) = (AdmissionControl::default(), Client::of(ClientId::Caller("one".into())));
    admission.share();
    let settings = LimitSettings {
        requests_per_minute: NonZeroU32::new(10),
        other_requests_per_minute: NonZeroU32::new(10),
        ..LimitSettings::default()
    };
    let refused = |generating| (0..11).any(|_| admission.check_rate(&settings, &caller, generating).is_err());
    assert!(refused(true) && refused(false));
    assert!(admission.wants_more().now_or_never().is_none(), "this server has the whole rate");
    admission.granted(&[("caller-requests/one".into(), Share { held: 5, servers: 2, spent: 0 })]);
    assert!(refused(true));
    assert!(admission.wants_more().now_or_never().is_some(), "another server has half of it");
}
