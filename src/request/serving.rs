//! Checks how a call is to be served: its timeouts, its abandonment mode, its heartbeats.

use std::time::Duration;

use prost_types::Duration as ProtoDuration;

use super::violations::Violations;
use crate::{
    proto::{AbandonmentMode, GenerateRequest, JsonForm, Priority},
    request::timeouts::{TimeoutSettings, Timeouts},
};

/// The shortest and the longest time between heartbeats.
pub(crate) const HEARTBEATS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_hours(1));

/// How a call is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// What happens to the call to Bedrock if the caller leaves; `UNSPECIFIED` selects the server's default.
    pub abandonment: AbandonmentMode,
    /// The time without a chunk after which a heartbeat is sent; `None` sends none.
    pub heartbeat: Option<Duration>,
}

/// The total timeout of a request before its check. A total timeout that the check will refuse does not count.
pub(super) fn total_timeout(request: &GenerateRequest, settings: &TimeoutSettings) -> Duration {
    let given = request.time_limits.and_then(|limits| limits.total).and_then(positive);
    given.filter(|given| *given <= settings.max.total).unwrap_or(settings.default.total)
}

pub(super) fn check(request: &GenerateRequest, settings: &TimeoutSettings, violations: &mut Violations) -> Serving {
    let given_timeouts = request.time_limits.unwrap_or_default();
    let TimeoutSettings { default, max, heartbeat } = settings;
    let mut timeout = |name: &str, given: Option<ProtoDuration>, default: Duration, max: Duration| {
        let Some(given) = given else { return default };
        let field = format!("time_limits.{name}");
        match positive(given) {
            Some(given) if given <= max => return given,
            Some(given) => violations.add(field, format!("is {given:?}; this server allows at most {max:?}")),
            None => violations.add(field, format!("is {}; it must be longer than 0s", written(given))),
        }
        default
    };
    let timeouts = Timeouts {
        connect: timeout("connect", given_timeouts.connect, default.connect, max.connect),
        first_content: timeout("first_content", given_timeouts.first_content, default.first_content, max.first_content),
        idle: timeout("idle", given_timeouts.idle, default.idle, max.idle),
        total: timeout("total", given_timeouts.total, default.total, max.total),
    };
    if AbandonmentMode::try_from(request.abandonment_mode).is_err() {
        let number = request.abandonment_mode;
        violations.add("abandonment_mode", format!("is {number}, which is not a mode. Use ABANDONMENT_MODE_CANCEL or ABANDONMENT_MODE_DRAIN, or leave it out"));
    }
    if Priority::try_from(request.priority).is_err() {
        let number = request.priority;
        violations.add(
            "priority",
            format!(
                "is {number}, which is not a priority. Use PRIORITY_INTERACTIVE or PRIORITY_BATCH, or leave it out"
            ),
        );
    }
    if JsonForm::try_from(request.json_form).is_err() {
        violations.add("json_form", format!("is {}, which this server does not know", request.json_form));
    }
    let heartbeat = match request.heartbeat_interval {
        None => *heartbeat,
        Some(ProtoDuration { seconds: 0, nanos: 0 }) => None,
        Some(given) => heartbeat_of(given, violations),
    };
    Serving { timeouts, abandonment: request.abandonment_mode(), heartbeat }
}

fn heartbeat_of(given: ProtoDuration, violations: &mut Violations) -> Option<Duration> {
    let (least, most) = HEARTBEATS;
    let interval = positive(given).filter(|interval| (least..=most).contains(interval));
    if interval.is_none() {
        let description = format!("is {}; it must be {least:?} to {most:?}, or 0s for none", written(given));
        violations.add("heartbeat_interval", description);
    }
    interval
}

fn positive(given: ProtoDuration) -> Option<Duration> {
    Duration::try_from(given).ok().filter(|given| !given.is_zero())
}

/// Formats a duration as protobuf's JSON does.
fn written(given: ProtoDuration) -> String {
    let ProtoDuration { seconds, nanos } = given;
    if nanos == 0 { format!("{seconds}s") } else { format!("{seconds}s and {nanos}ns") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::TimeLimits;

    fn seconds(seconds: i64) -> ProtoDuration {
        ProtoDuration { seconds, nanos: 0 }
    }

    fn checked(request: &GenerateRequest) -> Result<Serving, Vec<String>> {
        let mut violations = Violations::default();
        let serving = check(request, &TimeoutSettings::default(), &mut violations);
        let listed = |error: crate::error::Error| error.violations().iter().map(|one| one.field.clone()).collect();
        violations.into_result().map(|()| serving).map_err(listed)
    }

    #[test]
    fn a_request_may_ask_for_other_limits() {
        let limits = TimeLimits { idle: Some(seconds(7)), ..TimeLimits::default() };
        let request =
            GenerateRequest { time_limits: Some(limits), heartbeat_interval: Some(seconds(1)), ..Default::default() };
        let serving = checked(&request).unwrap();
        let expected = Timeouts { idle: Duration::from_secs(7), ..TimeoutSettings::default().default };
        assert_eq!((serving.timeouts, serving.heartbeat), (expected, Some(Duration::from_secs(1))));
    }

    #[test]
    fn a_request_may_ask_for_other_heartbeats_than_those_of_the_server_and_for_none() {
        let settings = TimeoutSettings { heartbeat: Some(Duration::from_secs(20)), ..TimeoutSettings::default() };
        for (given, expected) in [(None, Some(20)), (Some(seconds(5)), Some(5)), (Some(seconds(0)), None)] {
            let request = GenerateRequest { heartbeat_interval: given, ..Default::default() };
            let serving = check(&request, &settings, &mut Violations::default());
            assert_eq!(serving.heartbeat, expected.map(Duration::from_secs), "{given:?}");
        }
    }

    #[test]
    fn absurd_limits_are_refused_all_at_once() {
        let limits = TimeLimits {
            connect: Some(seconds(0)),
            first_content: Some(seconds(-3)),
            idle: Some(seconds(i64::MAX)),
            total: Some(ProtoDuration { seconds: 1, nanos: i32::MIN }),
        };
        let request = GenerateRequest {
            time_limits: Some(limits),
            heartbeat_interval: Some(ProtoDuration { seconds: 0, nanos: 1 }),
            abandonment_mode: 9,
            priority: -1,
            ..Default::default()
        };
        let fields = checked(&request).unwrap_err();
        let expected = ["connect", "first_content", "idle", "total"].map(|name| format!("time_limits.{name}"));
        assert_eq!(fields[..4], expected);
        assert_eq!(fields[4..], ["abandonment_mode", "priority", "heartbeat_interval"]);
    }
}
