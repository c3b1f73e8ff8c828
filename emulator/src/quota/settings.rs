//! The numbers of a quota, and their text: `MODEL[@REGION]=TOKENS[,requests=N][,burndown=5]…`.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// The largest minute: a day.
const LONGEST_MINUTE_MS: u64 = 24 * 3_600 * 1_000;

/// What each setting after the model is.
const SETTINGS: &str =
    "TOKENS, tokens=N, requests=N, streams=N, burndown=N, max-tokens=N, minute-ms=N, retry-after, bucket, window";

/// The quota of a model. A limit that is `None` is not enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Tokens a minute. At least 1.
    pub tokens: Option<u64>,
    /// Requests a minute. At least 1. A request that is refused does not count.
    pub requests: Option<u64>,
    /// Requests whose answers are running at the same time, streamed or whole. At least 1.
    pub streams: Option<u64>,
    /// How many tokens of the quota an output token is charged. At least 1, which is the default. Bedrock's is 5 for Claude 3.7 and 4.
    pub burndown: u64,
    /// What a request reserves that does not set its own maximum of output tokens: the model's maximum. Default: 64,000.
    pub max_tokens: u64,
    /// Whether refusals have `Retry-After`: the seconds until there is room, rounded up.
    pub retry_after: bool,
    /// How the minute is counted.
    pub model: MinuteModel,
    /// The length of a minute in milliseconds, from 1 to a day. Default: 60,000. A shorter one scales the time of a test.
    pub minute_ms: u64,
}

/// How the use of a minute is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MinuteModel {
    /// A bucket that holds the quota of one minute and refills evenly.
    #[default]
    Bucket,
    /// The sum of the last minute.
    Window,
}

/// The quota of a model, for requests that were signed for a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelQuota {
    /// The model id, inference profile or ARN as requests have it.
    pub model_id: String,
    /// The region. `None` is every region that has no quota of its own: together they share this one.
    pub region: Option<String>,
    /// The numbers.
    pub quota: Quota,
}

/// Why a quota cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QuotaError(pub(super) String);

impl Default for Quota {
    fn default() -> Self {
        Self {
            tokens: None,
            requests: None,
            streams: None,
            burndown: 1,
            max_tokens: 64_000,
            retry_after: false,
            model: MinuteModel::Bucket,
            minute_ms: 60_000,
        }
    }
}

impl Quota {
    /// This many tokens a minute, and the rest as by default.
    pub fn of_tokens(tokens: u64) -> Self {
        Self { tokens: Some(tokens), ..Self::default() }
    }

    pub(super) fn minute(&self) -> Duration {
        Duration::from_millis(self.minute_ms)
    }

    /// Whether all numbers are usable.
    pub(super) fn check(&self) -> Result<(), QuotaError> {
        let least_1 = [
            ("tokens", self.tokens),
            ("requests", self.requests),
            ("streams", self.streams),
            ("burndown", Some(self.burndown)),
            ("minute_ms", Some(self.minute_ms)),
        ];
        if let Some((name, _)) = least_1.iter().find(|(_, value)| *value == Some(0)) {
            return Err(QuotaError(format!("{name} is 0, and must be at least 1")));
        }
        if self.minute_ms > LONGEST_MINUTE_MS {
            return Err(QuotaError(format!("minute_ms is {}, over a day ({LONGEST_MINUTE_MS})", self.minute_ms)));
        }
        if self.tokens.or(self.requests).or(self.streams).is_none() {
            return Err(QuotaError("a quota needs at least one of tokens, requests and streams".to_owned()));
        }
        Ok(())
    }

    /// Sets what this part of a text says.
    fn set(&mut self, part: &str) -> Result<(), QuotaError> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let number = || {
            let wrong = |_| QuotaError(format!("{name} is {value:?}, which is not a whole number of at least 0"));
            value.parse::<u64>().map_err(wrong)
        };
        match name {
            "tokens" => self.tokens = Some(number()?),
            "requests" => self.requests = Some(number()?),
            "streams" => self.streams = Some(number()?),
            "burndown" => self.burndown = number()?,
            "max-tokens" => self.max_tokens = number()?,
            "minute-ms" => self.minute_ms = number()?,
            "retry-after" if value.is_empty() => self.retry_after = true,
            "bucket" if value.is_empty() => self.model = MinuteModel::Bucket,
            "window" if value.is_empty() => self.model = MinuteModel::Window,
            _ => return Err(QuotaError(format!("{part:?} is not a setting of a quota. They are: {SETTINGS}"))),
        }
        Ok(())
    }
}

impl FromStr for ModelQuota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let form = || QuotaError(format!("{text:?} is not MODEL[@REGION]=SETTING[,SETTING…]. Settings: {SETTINGS}"));
        let (model, settings) = text.split_once('=').ok_or_else(form)?;
        let (model_id, region) = match model.split_once('@') {
            Some((model_id, region)) => (model_id, Some(region)),
            None => (model, None),
        };
        if model_id.is_empty() || region == Some("") {
            return Err(form());
        }
        let mut quota = Quota::default();
        let mut named = Vec::new();
        for part in settings.split(',') {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let part = if is_number { format!("tokens={part}") } else { part.to_owned() };
            quota.set(&part)?;
            let name = part.split('=').next().unwrap_or_default().to_owned();
            if named.contains(&name) {
                return Err(QuotaError(format!("{text:?} sets {name} twice")));
            }
            named.push(name);
        }
        quota.check()?;
        Ok(Self { model_id: model_id.to_owned(), region: region.map(str::to_owned), quota })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_everything_a_quota_can() {
        let text = "us.anthropic.claude-sonnet-4-20250514-v1:0@us-west-2=200000,requests=50,streams=10,burndown=5,max-tokens=4096,\
                    minute-ms=1000,retry-after,window";
        let quota = Quota {
            tokens: Some(200_000),
            requests: Some(50),
            streams: Some(10),
            burndown: 5,
            max_tokens: 4_096,
            retry_after: true,
            model: MinuteModel::Window,
            minute_ms: 1_000,
        };
        let (model_id, region) =
            ("us.anthropic.claude-sonnet-4-20250514-v1:0".to_owned(), Some("us-west-2".to_owned()));
        assert_eq!(text.parse(), Ok(ModelQuota { model_id, region, quota }));
        let only: ModelQuota = "a.model=requests=3".parse().unwrap();
        assert_eq!(only.quota, Quota { requests: Some(3), ..Quota::default() });
        assert_eq!(only.region, None);
        let arn: ModelQuota = "arn:aws:bedrock:us-east-1:1:inference-profile/x=7".parse().unwrap();
        assert_eq!(arn.model_id, "arn:aws:bedrock:us-east-1:1:inference-profile/x");
    }

    #[test]
    fn a_wrong_text_is_refused_with_what_is_wrong() {
        let cases = [
            ("a.model", "is not MODEL[@REGION]="),
            ("=5", "is not MODEL[@REGION]="),
            ("a.model@=5", "is not MODEL[@REGION]="),
            ("a.model=0", "tokens is 0"),
            ("a.model=-5", "\"-5\" is not a setting"),
            ("a.model=5,requests=0", "requests is 0"),
            ("a.model=5,burndown=0", "burndown is 0"),
            ("a.model=5,burndown=0.5", "burndown is \"0.5\""),
            ("a.model=5,burn=5", "\"burn=5\" is not a setting"),
            ("a.model=5,retry-after=3", "\"retry-after=3\" is not a setting"),
            ("a.model=5,", "\"\" is not a setting"),
            ("a.model=5,minute-ms=0", "minute_ms is 0"),
            ("a.model=5,minute-ms=99999999999", "over a day"),
            ("a.model=5,requests=1,requests=2", "sets requests twice"),
            ("a.model=5,tokens=6", "sets tokens twice"),
            ("a.model=burndown=5", "needs at least one of"),
            ("a.model=99999999999999999999", "tokens is"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<ModelQuota>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
