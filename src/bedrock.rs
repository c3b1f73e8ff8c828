//! Calls Amazon Bedrock through the AWS SDK. Requests are sent with the SDK's typed builders. Responses are read as raw frames, because the
//! SDK's types drop members that are newer than they are.
//!
//! - `pool` the SDK clients, as many as the running streams need
//! - `http` the HTTP client of the SDK: windows, pings, proxies
//! - `measured` measures its connections
//! - `connected` connects to AWS, or to an emulator in this process
//! - `local` the emulator, in a build that has it
//! - [`account`] lists the models of the AWS account, and [`service_quotas`] reads its quotas
//! - [`client`] configures the SDK: credentials, region, endpoint, timeouts
//! - [`converse`] maps a request to ConverseStream
//! - [`invoke`] maps a request to a native body, and native chunks to events; one file for each family
//! - `cut` bounds the bodies that the SDK reads completely
//! - [`tap`] takes the response body from the SDK, and enforces the connect timeout
//! - [`frames`] decodes the body into event-stream frames
//! - [`classify`] maps failures to [`Error`]
//! - [`relay`] sends a body as the caller wrote it
//! - `redaction` removes details of the operator's account from messages

pub(crate) mod account;
pub(crate) mod classify;
mod client;
mod connected;
pub(crate) mod converse;
mod cut;
pub(crate) mod frames;
mod http;
pub(crate) mod invoke;
mod local;
mod measured;
mod pool;
mod redaction;
pub(crate) mod relay;
pub(crate) mod service_quotas;
mod tap;

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;

use ::http::HeaderMap;
use aws_sdk_bedrockruntime::{Config, config::Region};
use aws_smithy_types::body::SdkBody;

#[cfg(not(feature = "emulator"))]
pub use self::local::NO_EMULATOR;
pub(crate) use self::pool::PooledClient;
use self::{
    account::Account, client::Control, frames::Frames, http::Http, pool::Pool, relay::RelayedFormat,
    service_quotas::ServiceQuotas, tap::Tap,
};
pub use self::{
    classify::{EXCEPTIONS, STATUSES},
    client::EMULATED_REGION,
    connected::{ConnectError, Connected, Prepared, UpstreamSettings},
};
use crate::{
    error::{CallContext, Error, Reason},
    event::native::Decode,
    failover::{attempt_log::AttemptLog, routes::Target},
    metrics::Metrics,
    proto::{CountTokensRequest, CountTokensResponse, GenerateRequest, Operation},
    request::{Valid, relayed::Relayed},
};

/// Bedrock in the region of the server and in those of the routes. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Bedrock {
    config: Config,
    http: Http,
    home: String,
    account: Account,
    service_quotas: ServiceQuotas,
    /// By region. The configuration bounds their number.
    pools: Arc<Mutex<HashMap<String, Pool>>>,
}

/// A response stream of Bedrock.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Its frames.
    pub(crate) frames: Frames,
    /// The format of the frames.
    pub(crate) format: Format,
    /// The client of the stream. Dropping it frees the stream in the pool.
    pub(crate) client: PooledClient,
    /// The headers that go to the caller, if the answer is relayed.
    pub(crate) head: HeaderMap,
}

/// The format of the frames of an answer.
#[derive(Debug)]
pub(crate) enum Format {
    /// The events of ConverseStream.
    Converse,
    /// Chunks in a model's own format, and their decoder.
    Native(Box<dyn Decode>),
    /// Chunks that are sent to the caller unchanged.
    Raw,
    /// Frames, or a whole answer, that are sent to the caller unchanged.
    Relayed(RelayedFormat),
}

impl Format {
    /// The frames of a body in this format.
    fn frames(&self, body: SdkBody) -> Frames {
        match self {
            Self::Relayed(format) if format.operation.is_whole() => Frames::whole(body),
            _ => Frames::new(body),
        }
    }

    /// The operation with this format.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Native(_) | Self::Raw => Operation::InvokeModelWithResponseStream,
            Self::Relayed(format) if !format.operation.is_converse() => Operation::InvokeModelWithResponseStream,
            Self::Converse | Self::Relayed(_) => Operation::ConverseStream,
        }
    }
}

#[cfg(any(feature = "microbenchmarks", test))]
#[expect(clippy::expect_used, reason = "a benchmark measures what it says, or fails")]
impl Upstream {
    /// A stream with these bytes, for tests and benchmarks.
    pub(crate) fn of_body(body: aws_smithy_types::body::SdkBody) -> Self {
        static HTTP: std::sync::OnceLock<Http> = std::sync::OnceLock::new();
        let http = HTTP.get_or_init(|| Http::load(Duration::from_secs(1)).expect("certificates"));
        let config = Config::builder().behavior_version(aws_sdk_bedrockruntime::config::BehaviorVersion::latest());
        let client = Pool::new(config.build(), http.clone()).client();
        Self { frames: Frames::new(body), format: Format::Converse, client, head: HeaderMap::new() }
    }
}

impl Bedrock {
    fn new(config: Config, control: Control, http: Http, home: String) -> Self {
        let account = Account::new(control.bedrock.http_client(http.client()).build(), &home);
        let service_quotas = ServiceQuotas::new(control.service_quotas.http_client(http.client()).build());
        Self { config, http, home, account, service_quotas, pools: Arc::default() }
    }

    /// The Bedrock emulator at this address. `max_connect` is the maximum connect timeout of a call.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn emulated(endpoint: &str, max_connect: Duration) -> io::Result<Self> {
        client::emulated(endpoint, max_connect)
    }

    /// Measures the connections from now on.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        self.http.measure(metrics);
    }

    /// The models of the account.
    pub(crate) fn account(&self) -> Account {
        self.account.clone()
    }

    /// The quotas of the account.
    pub(crate) fn service_quotas(&self) -> ServiceQuotas {
        self.service_quotas.clone()
    }

    /// The region of a target that names none.
    pub fn home(&self) -> &str {
        &self.home
    }

    /// Makes one attempt to open a stream, with the operation of the request.
    pub(crate) async fn open(
        &self,
        target: &Target,
        request: Valid<GenerateRequest>,
        relayed: Option<&Relayed>,
        connect: Duration,
        log: &AttemptLog,
    ) -> Result<Upstream, Error> {
        let (region, client) = self.client(target);
        let tap = Tap::of_stream(log);
        // The futures of the SDK have many kilobytes, which each future around one would copy with its own.
        let sent = async {
            if let Some(relayed) = relayed {
                Box::pin(relay::send(client.client(), relayed, request, &tap)).await?;
                return Ok(Format::Relayed(RelayedFormat::new(relayed.operation, &tap.head())));
            }
            match invoke::format_of(request.get())? {
                Format::Converse => {
                    Box::pin(converse::stream(client.client(), request)?.send()).await.map_err(classify::sdk_error)?;
                    Ok(Format::Converse)
                }
                format => {
                    Box::pin(invoke::operation(client.client(), request)?.send()).await.map_err(classify::sdk_error)?;
                    Ok(format)
                }
            }
        };
        let result = tap.connected_within(connect, sent).await;
        let head = tap.head();
        let (body, request_id) = tap.into_parts();
        let error = match (result, body) {
            (Ok(format), Some(body)) => {
                log.opened(&request_id);
                return Ok(Upstream { frames: format.frames(body), format, client, head });
            }
            (Ok(_), None) => Error::new(Reason::Internal, "the SDK returned no response body"),
            (Err(error), _) => error,
        };
        let model_id = target.model_id.clone();
        Err(error.in_call(CallContext { model_id, region, request_id, attempts: Vec::new() }))
    }

    /// Makes one attempt to count the tokens of a body as it is. Returns the body of the answer.
    pub(crate) async fn count_relayed(
        &self,
        target: &Target,
        body: Bytes,
        connect: Duration,
        log: &AttemptLog,
    ) -> Result<Bytes, Error> {
        let (region, client) = self.client(target);
        let tap = Tap::of_stream(log);
        let model_id = target.model_id.clone();
        let sent = tap.connected_within(connect, Box::pin(relay::count(client.client(), &model_id, body, &tap))).await;
        let (body, request_id) = tap.into_parts();
        let counted = match (sent, body) {
            (Ok(()), Some(body)) => relay::counted(body).await,
            (Ok(()), None) => Err(Error::new(Reason::Internal, "the SDK returned no response body")),
            (Err(error), _) => Err(error),
        };
        counted.map_err(|error| error.in_call(CallContext { model_id, region, request_id, attempts: Vec::new() }))
    }

    /// Makes one attempt to count the tokens of a request.
    pub(crate) async fn count_tokens(
        &self,
        target: &Target,
        request: Valid<CountTokensRequest>,
        connect: Duration,
        log: &AttemptLog,
    ) -> Result<CountTokensResponse, Error> {
        let (region, client) = self.client(target);
        let tap = Tap::of_unary(log);
        let sent =
            async { Box::pin(converse::count(client.client(), request)?.send()).await.map_err(classify::sdk_error) };
        let result = tap.connected_within(connect, sent).await;
        let (_, request_id) = tap.into_parts();
        let model_id = target.model_id.clone();
        match result {
            Ok(counted) => Ok(CountTokensResponse { input_tokens: counted.input_tokens, model_id }),
            Err(error) => Err(error.in_call(CallContext { model_id, region, request_id, attempts: Vec::new() })),
        }
    }

    /// Drops the clients that a burst has added, and that have had no stream since the last time. Their connections are closed.
    pub(crate) fn drop_idle_clients(&self) {
        let pools: Vec<_> = self.pools.lock().values().cloned().collect();
        for pool in pools {
            pool.drop_idle();
        }
    }

    /// The region of a target, and a client for one stream to it.
    fn client(&self, target: &Target) -> (String, PooledClient) {
        let region = target.region.as_ref().unwrap_or(&self.home);
        let mut pools = self.pools.lock();
        let pool = pools.entry(region.clone()).or_insert_with(|| {
            let config = self.config.to_builder().region(Region::new(region.clone())).build();
            Pool::new(config, self.http.clone())
        });
        (region.clone(), pool.client())
    }
}
