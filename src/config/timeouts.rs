//! The flags about time: the four timeouts of a call, and the steps of a shutdown.

use std::time::Duration;

use clap::Args;

use super::problems::Problems;
use crate::{
    request::{
        serving::HEARTBEATS,
        timeouts::{TimeoutSettings, Timeouts},
    },
    shutdown::steps::ShutdownSettings,
};

/// The flags as strings; they are parsed later, so that all problems are reported at once.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Timeouts")]
pub struct TimeArgs {
    /// The time for an attempt to get a connection to Bedrock
    #[arg(long, env = "OUTCROP_CONNECT_TIMEOUT", default_value = "5s", value_name = "DURATION")]
    pub connect_timeout: String,
    /// The time for an attempt to bring its first content
    #[arg(long, env = "OUTCROP_FIRST_CONTENT_TIMEOUT", default_value = "2m", value_name = "DURATION")]
    pub first_content_timeout: String,
    /// The time for which Bedrock may send nothing in the middle of an answer
    #[arg(long, env = "OUTCROP_IDLE_TIMEOUT", default_value = "5m", value_name = "DURATION")]
    pub idle_timeout: String,
    /// The time for a call, including retries and backoff
    #[arg(long, env = "OUTCROP_TOTAL_TIMEOUT", default_value = "1h", value_name = "DURATION")]
    pub total_timeout: String,
    /// The time for which a caller may send nothing in the middle of a request message. A whole message has this time and a second for every
    /// 256 KiB
    #[arg(long, env = "OUTCROP_BODY_TIMEOUT", default_value = "30s", value_name = "DURATION")]
    pub body_timeout: String,
    /// The time for which a caller may read nothing although there is more to read
    #[arg(long, env = "OUTCROP_UNREAD_TIMEOUT", default_value = "5m", value_name = "DURATION")]
    pub unread_timeout: String,
    /// The time without a chunk after which a request that says nothing about heartbeats gets one, 100ms to 1h; 0s sends none. A heartbeat
    /// before content commits the call: the gRPC library of the caller retries nothing after it
    #[arg(long, env = "OUTCROP_HEARTBEAT_INTERVAL", default_value = "0s", value_name = "DURATION")]
    pub heartbeat_interval: String,
    /// The maximum connect timeout of a request
    #[arg(long, env = "OUTCROP_MAX_CONNECT_TIMEOUT", default_value = "1m", value_name = "DURATION")]
    pub max_connect_timeout: String,
    /// The maximum first-content timeout of a request
    #[arg(long, env = "OUTCROP_MAX_FIRST_CONTENT_TIMEOUT", default_value = "15m", value_name = "DURATION")]
    pub max_first_content_timeout: String,
    /// The maximum idle timeout of a request
    #[arg(long, env = "OUTCROP_MAX_IDLE_TIMEOUT", default_value = "15m", value_name = "DURATION")]
    pub max_idle_timeout: String,
    /// The maximum total timeout of a request
    #[arg(long, env = "OUTCROP_MAX_TOTAL_TIMEOUT", default_value = "6h", value_name = "DURATION")]
    pub max_total_timeout: String,
    /// The time for which new calls are still served after SIGTERM or Ctrl-C, while health is NOT_SERVING
    #[arg(long, env = "OUTCROP_LAME_DUCK", default_value = "0s", value_name = "DURATION")]
    pub lame_duck: String,
    /// The time after that in which running streams can end
    #[arg(long, env = "OUTCROP_GRACE", default_value = "30s", value_name = "DURATION")]
    pub grace: String,
}

impl TimeArgs {
    pub(super) fn timeouts(&self, problems: &mut Problems) -> TimeoutSettings {
        let mut timeout = |flag: &str, default: &str, max: &str| {
            let (flag, max_flag) = (format!("--{flag}"), format!("--max-{flag}"));
            let default = problems.duration(&flag, default, false);
            let max = problems.duration(&max_flag, max, false);
            if default > max && !max.is_zero() {
                problems.add(format!("{flag} is {default:?}, which is more than {max_flag} allows ({max:?}). Raise one or lower the other"));
            }
            (default, max)
        };
        let connect = timeout("connect-timeout", &self.connect_timeout, &self.max_connect_timeout);
        let first_content =
            timeout("first-content-timeout", &self.first_content_timeout, &self.max_first_content_timeout);
        let idle = timeout("idle-timeout", &self.idle_timeout, &self.max_idle_timeout);
        let total = timeout("total-timeout", &self.total_timeout, &self.max_total_timeout);
        let timeouts = |pick: fn((Duration, Duration)) -> Duration| Timeouts {
            connect: pick(connect),
            first_content: pick(first_content),
            idle: pick(idle),
            total: pick(total),
        };
        let (default, max) = (timeouts(|(default, _)| default), timeouts(|(_, max)| max));
        TimeoutSettings { default, max, heartbeat: self.heartbeat(problems) }
    }

    fn heartbeat(&self, problems: &mut Problems) -> Option<Duration> {
        let (least, most) = HEARTBEATS;
        let interval = problems.duration("--heartbeat-interval", &self.heartbeat_interval, true);
        if !interval.is_zero() && !(least..=most).contains(&interval) {
            problems.add(format!("--heartbeat-interval is {interval:?}; it must be {least:?} to 1h, or 0s for none"));
        }
        (!interval.is_zero()).then_some(interval)
    }

    pub(super) fn body_timeout(&self, problems: &mut Problems) -> Duration {
        problems.duration("--body-timeout", &self.body_timeout, false)
    }

    pub(super) fn unread_timeout(&self, problems: &mut Problems) -> Duration {
        problems.duration("--unread-timeout", &self.unread_timeout, false)
    }

    pub(super) fn shutdown(&self, problems: &mut Problems) -> ShutdownSettings {
        ShutdownSettings {
            lame_duck: problems.duration("--lame-duck", &self.lame_duck, true),
            grace: problems.duration("--grace", &self.grace, true),
            ..ShutdownSettings::default()
        }
    }
}
