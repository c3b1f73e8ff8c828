//! A running emulator, as tests and programs in Rust use it.

use std::{net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    account::Account,
    catalogue::Catalogue,
    config::{Config, StartError},
    connection,
    faults::{Chance, Faults},
    history::{AnsweredRequest, CapturedRequest},
    ledger::{Ledger, Stats},
    names::SCRIPT_PREFIX,
    quota::{Quota, QuotaError, QuotaUsage, Quotas},
    replay::Replays,
    reply::MODEL_PACE,
    routes,
    script::{Pace, Refusal, Script},
    tls,
};

/// A running emulator. Dropping it stops it; [`Emulator::stop`] also waits.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    certificate: Option<String>,
    catalogue: Arc<Catalogue>,
    ledger: Arc<Ledger>,
    account: Arc<Account>,
    quotas: Arc<Quotas>,
    chance: Arc<Chance>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts an emulator. It accepts connections when this returns.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config {
            listen,
            tls,
            max_concurrent_streams,
            unpaced,
            pace,
            scripts,
            recordings,
            replay,
            validate,
            quotas,
            faults,
            seed,
        } = config;
        let catalogue = Arc::new(Catalogue::load(scripts.as_deref(), recordings.as_deref())?);
        let replays = replay.map(|folder| Replays::load(&folder)).transpose()?.map(Arc::new);
        let quotas = Arc::new(Quotas::load(quotas)?);
        let (acceptor, certificate) =
            if tls { tls::acceptor().map(|(a, pem)| (Some(a), Some(pem)))? } else { (None, None) };
        let unusable = |source| StartError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let ledger = Arc::new(Ledger::default());
        let chance = Arc::new(Chance::new(seed, faults));
        let stop = CancellationToken::new();
        let account = Arc::new(Account::default());
        let shared = routes::Shared {
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::clone(&ledger),
            account: Arc::clone(&account),
            quotas: Arc::clone(&quotas),
            validate,
            replays,
            chance: Arc::clone(&chance),
            pace: if unpaced { Pace::default() } else { pace.unwrap_or(MODEL_PACE) },
        };
        let serving = connection::serve(
            listener,
            acceptor,
            max_concurrent_streams,
            routes::router(shared),
            Arc::clone(&ledger),
            stop.clone(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "`Emulator::stop` waits for it, and dropping the emulator ends it"
        )]
        let serving = Some(tokio::spawn(serving));
        Ok(Self { address, certificate, catalogue, ledger, account, quotas, chance, stop, serving })
    }

    /// The address on which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`.
    pub fn endpoint(&self) -> String {
        match self.certificate {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// The certificate to trust, as PEM. `None` without TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Registers a script for the model `emulator.<name>`, and returns the model id.
    pub fn register(&self, name: &str, script: Script) -> String {
        self.register_sequence(name, [script])
    }

    /// Registers scripts for the model `emulator.<name>`, and returns the model id. Each request gets the next script, and the last one is
    /// repeated.
    pub fn register_sequence(&self, name: &str, scripts: impl IntoIterator<Item = Script>) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register(model_id.clone(), scripts);
        model_id
    }

    /// Registers scripts for any model id or ARN, such as that of a real model. Each request gets the next script, and the last one is repeated.
    pub fn register_for(&self, model_id: &str, scripts: impl IntoIterator<Item = Script>) {
        self.catalogue.register(model_id.to_owned(), scripts);
    }

    /// Registers scripts as [`Emulator::register_sequence`] does, for requests that were signed for this region.
    pub fn register_in(&self, name: &str, region: &str, scripts: impl IntoIterator<Item = Script>) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register_in(&model_id, region, scripts);
        model_id
    }

    /// Registers a function that makes the script of each request for the model `emulator.<name>`, and returns the model id.
    pub fn register_with(
        &self,
        name: &str,
        script: impl Fn(&CapturedRequest) -> Script + Send + Sync + 'static,
    ) -> String {
        let model_id = format!("{SCRIPT_PREFIX}{name}");
        self.catalogue.register_maker(model_id.clone(), Arc::new(script));
        model_id
    }

    /// Enforces this quota of a model for requests that were signed for this region, with all counts at zero. Without a region it is one
    /// quota for all regions that have none of their own. Running requests settle with the quota that was set before.
    ///
    /// # Errors
    /// If a number of the quota is unusable.
    pub fn set_quota(&self, model_id: &str, region: Option<&str>, quota: Quota) -> Result<(), QuotaError> {
        self.quotas.set(model_id, region, quota)
    }

    /// What was used of the quota that was set for exactly this model and region. `None` if there is none.
    pub fn quota_usage(&self, model_id: &str, region: Option<&str>) -> Option<QuotaUsage> {
        self.quotas.usage(model_id, region)
    }

    /// Sets the share of requests that have each fault. Scripts that refuse or have a fault of their own keep it.
    pub fn set_faults(&self, faults: Faults) {
        self.chance.set(faults);
    }

    /// Sets what AWS Service Quotas has for this code in this region: the value that was applied to the account. `None` removes it.
    pub fn set_service_quota(&self, region: &str, code: &str, value: Option<f64>) {
        self.account.service_quotas.set(region, code, value, true);
    }

    /// Sets the default of AWS, which Service Quotas has for accounts without a value of their own.
    pub fn set_default_service_quota(&self, region: &str, code: &str, value: Option<f64>) {
        self.account.service_quotas.set(region, code, value, false);
    }

    /// How many requests to AWS Service Quotas there were.
    pub fn service_quota_requests(&self) -> u64 {
        self.account.service_quotas.requests()
    }

    /// Replaces what ListFoundationModels and ListInferenceProfiles list, in the form of Bedrock's summaries. A page has at most `page` of the
    /// profiles.
    pub fn set_account(&self, models: Vec<Value>, profiles: Vec<Value>, page: usize) {
        self.account.replace(models, profiles, page);
    }

    /// Refuses the next requests to list, one by one.
    pub fn refuse_listings(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.account.refuse(refusals);
    }

    /// How many requests to list there were.
    pub fn listings(&self) -> u64 {
        self.account.requests()
    }

    /// The current counts.
    pub fn stats(&self) -> Stats {
        self.ledger.stats()
    }

    /// Waits until the counts satisfy a condition, and returns them.
    pub async fn wait_until(&self, wanted: impl FnMut(&Stats) -> bool) -> Stats {
        let mut watch = self.ledger.watch();
        // The sender is in `self`, so the wait does not fail.
        watch.wait_for(wanted).await.map(|stats| *stats).unwrap_or_default()
    }

    /// The last request to an operation.
    pub fn last_request(&self) -> Option<CapturedRequest> {
        self.ledger.history.last()
    }

    /// The last 1,000 requests to operations, from the oldest to the newest, with at most 4 MiB of bodies.
    pub fn requests(&self) -> Vec<AnsweredRequest> {
        self.ledger.history.find(|_| true)
    }

    /// Waits until so many of [`Emulator::requests`] satisfy a condition, and returns them.
    pub async fn wait_for_requests(
        &self,
        count: usize,
        wanted: impl FnMut(&AnsweredRequest) -> bool,
    ) -> Vec<AnsweredRequest> {
        self.ledger.wait_for(count, wanted).await
    }

    /// Closes all connections and waits until they are closed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            let _ = serving.await;
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
