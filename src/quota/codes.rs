//! Quotas whose numbers AWS Service Quotas has: they are read at the start, every hour, and when the configuration has changed. The number
//! beside a code holds until the code can be read, and the last value that was read holds after that.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::settings::{MAX_QUOTA, ModelQuota, QuotaSettings};
use crate::error::Error;

/// The longest time for which the start waits for the codes.
const START: Duration = Duration::from_secs(5);

/// The interval in which all codes are read again.
const INTERVAL: Duration = Duration::from_hours(1);

/// The interval if one of them could not be read.
const RETRY: Duration = Duration::from_mins(5);

/// The codes that are read at the same time. Service Quotas throttles early.
const AT_ONCE: usize = 4;

/// A quota as Service Quotas names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Code {
    region: String,
    code: String,
}

/// The values of codes. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CodedQuotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The region of a quota that names none.
    home: String,
    known: Mutex<Known>,
    /// Wakes [`CodedQuotas::run`].
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// What was read last.
    values: BTreeMap<Code, NonZeroU64>,
    /// Those whose last reading has failed, which is logged once.
    failed: BTreeSet<Code>,
}

/// Where the values of codes are read.
pub(crate) trait ReadCode: Sync {
    /// The value of a code in a region.
    fn read_code(&self, region: &str, code: &str) -> impl Future<Output = Result<f64, Error>> + Send;
}

/// What is known of the codes of some settings.
enum Readings {
    /// One of them was never read.
    Missing,
    /// The last reading of one of them has failed.
    Failed,
    /// All were read.
    Complete,
}

impl CodedQuotas {
    /// Without values. `home` is the region of the server.
    pub(crate) fn new(home: impl Into<String>) -> Self {
        let inner = Inner { home: home.into(), known: Mutex::default(), changed: Notify::new() };
        Self(Arc::new(inner))
    }

    /// The same settings, with the values that were read last in place of the numbers beside their codes.
    pub(crate) fn applied(&self, settings: &QuotaSettings) -> QuotaSettings {
        let known = self.0.known.lock();
        let mut settings = settings.clone();
        for quota in &mut settings.quotas {
            let value = |code: Option<&String>| known.values.get(&self.named(quota, code?)).copied();
            let (tokens, requests) =
                (value(quota.tokens_per_minute_code.as_ref()), value(quota.requests_per_minute_code.as_ref()));
            quota.tokens_per_minute = tokens.or(quota.tokens_per_minute);
            quota.requests_per_minute = requests.or(quota.requests_per_minute);
        }
        settings
    }

    /// Reads the codes of these settings before the server starts, for at most [`START`].
    pub(crate) async fn begin(&self, settings: &QuotaSettings, source: &impl ReadCode) {
        if timeout(START, self.read(settings, source)).await.is_err() {
            warn!(
                "AWS Service Quotas has not answered within {START:?}. The numbers beside the codes hold until it does"
            );
        }
    }

    /// The settings have changed: their codes are read soon.
    pub(crate) fn changed(&self) {
        self.0.changed.notify_one();
    }

    /// Reads all codes again and again while it is polled, and applies their values to the settings that are in force.
    pub(crate) async fn run(
        &self,
        in_force: impl Fn() -> Arc<QuotaSettings>,
        source: &impl ReadCode,
        apply: impl Fn(&QuotaSettings),
    ) {
        let mut last = Instant::now();
        loop {
            let next = match self.known_of(&in_force()) {
                // New ones, or those for which the start has not waited.
                Readings::Missing => Instant::now(),
                Readings::Failed => last + RETRY,
                Readings::Complete => last + INTERVAL,
            };
            tokio::select! {
                () = sleep_until(next) => {
                    last = Instant::now();
                    self.read(&in_force(), source).await;
                    apply(&self.applied(&in_force()));
                }
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// What is known of the codes of these settings.
    fn known_of(&self, settings: &QuotaSettings) -> Readings {
        let (codes, known) = (self.codes(settings), self.0.known.lock());
        if codes.iter().any(|code| !known.values.contains_key(code) && !known.failed.contains(code)) {
            Readings::Missing
        } else if codes.iter().any(|code| known.failed.contains(code)) {
            Readings::Failed
        } else {
            Readings::Complete
        }
    }

    /// Reads all codes of these settings once.
    async fn read(&self, settings: &QuotaSettings, source: &impl ReadCode) {
        let codes = self.codes(settings);
        let reading = codes.clone().into_iter().map(|code| async move {
            let value = source.read_code(&code.region, &code.code).await;
            self.0.known.lock().update(&code, value);
        });
        stream::iter(reading).buffer_unordered(AT_ONCE).collect::<()>().await;
        self.0.known.lock().retain(&codes);
    }

    fn codes(&self, settings: &QuotaSettings) -> BTreeSet<Code> {
        let of = |quota: &ModelQuota| {
            let codes = [&quota.tokens_per_minute_code, &quota.requests_per_minute_code].into_iter().flatten();
            codes.map(|code| self.named(quota, code)).collect::<Vec<_>>()
        };
        settings.quotas.iter().flat_map(of).collect()
    }

    fn named(&self, quota: &ModelQuota, code: &str) -> Code {
        let region = quota.region.as_ref().unwrap_or(&self.0.home);
        Code { region: region.clone(), code: code.to_owned() }
    }
}

impl Known {
    fn update(&mut self, code: &Code, value: Result<f64, Error>) {
        let Code { region, code: name } = code;
        let problem = match value {
            Ok(value) => match quota_of(value) {
                Some(value) => {
                    self.failed.remove(code);
                    if self.values.insert(code.clone(), value) != Some(value) {
                        info!(region, code = name, value, "AWS Service Quotas has this quota for the account");
                    }
                    return;
                }
                None => format!("its value is {value}"),
            },
            Err(error) => error.for_log(),
        };
        if self.failed.insert(code.clone()) {
            let last = self.values.get(code).map(|value| value.get());
            warn!(
                region,
                code = name,
                last,
                problem,
                "a quota cannot be read from AWS Service Quotas. The last value holds, or the number beside the code. The role needs servicequotas:GetServiceQuota and servicequotas:GetAWSDefaultServiceQuota"
            );
        }
    }

    /// Forgets codes that are no longer configured.
    fn retain(&mut self, codes: &BTreeSet<Code>) {
        self.values.retain(|code, _| codes.contains(code));
        self.failed.retain(|code| codes.contains(code));
    }
}

/// A value as a quota. `None`: it cannot be one.
fn quota_of(value: f64) -> Option<NonZeroU64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "NaN becomes 0, and what is too large the maximum"
    )]
    let number = value as u64;
    NonZeroU64::new(number).filter(|number| number.get() <= MAX_QUOTA)
}

#[cfg(test)]
mod tests;
