//! A collector in this process: it keeps what it receives, or accepts requests and never answers.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data},
    trace::v1::{Span, span::SpanKind},
};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector. It ends when it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    received: Arc<Received>,
    _server: JoinSet<()>,
}

#[derive(Default)]
struct Received {
    hangs: bool,
    traces: Mutex<Vec<ExportTraceServiceRequest>>,
    metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
    headers: Mutex<Vec<String>>,
    /// Requests that hang.
    hanging: Notify,
}

#[derive(Clone)]
struct Services(Arc<Received>);

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::at(loopback(), Received::default()).await
    }

    /// Where another one was.
    pub(crate) async fn again(address: SocketAddr) -> Self {
        Self::at(address, Received::default()).await
    }

    /// It accepts everything and answers nothing.
    pub(crate) async fn hanging() -> Self {
        Self::at(loopback(), Received { hangs: true, ..Received::default() }).await
    }

    async fn at(address: SocketAddr, received: Received) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(received);
        let services = Services(Arc::clone(&received));
        let mut server = JoinSet::new();
        server.spawn(async move {
            let serving = Server::builder()
                .add_service(TraceServiceServer::new(services.clone()))
                .add_service(MetricsServiceServer::new(services))
                .serve_with_incoming(TcpListenerStream::new(listener));
            serving.await.unwrap();
        });
        Self { address, received, _server: server }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for a request that hangs.
    pub(crate) async fn is_asked(&self) {
        self.received.hanging.notified().await;
    }

    /// All spans, in the order in which they ended.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.received.traces.lock();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|spans| &spans.scope_spans).flat_map(|spans| &spans.spans).cloned().collect()
    }

    /// The spans with this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().filter(|span| span.name == name).collect()
    }

    /// The attributes of the resource of the first export.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let requests = self.received.traces.lock();
        attributes(&requests[0].resource_spans[0].resource.as_ref().unwrap().attributes)
    }

    /// The newest state of all metrics.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let requests = self.received.metrics.lock();
        let last = requests.iter().next_back().into_iter().flat_map(|request| &request.resource_metrics);
        last.flat_map(|metrics| &metrics.scope_metrics).flat_map(|metrics| &metrics.metrics).cloned().collect()
    }

    /// Everything that was received, as text.
    pub(crate) fn everything(&self) -> String {
        format!("{:?}{:?}", self.received.traces.lock(), self.received.metrics.lock())
    }

    /// The header `authorization` of every export.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.received.headers.lock().clone()
    }
}

/// A free port.
fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Received {
    async fn answer<T>(&self, request: Request<T>, kept: &Mutex<Vec<T>>) {
        if self.hangs {
            self.hanging.notify_one();
            std::future::pending::<()>().await;
        }
        let authorization = request.metadata().get("authorization");
        self.headers.lock().extend(authorization.map(|value| value.to_str().unwrap().to_owned()));
        kept.lock().push(request.into_inner());
    }
}

#[tonic::async_trait]
impl TraceService for Services {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.answer(request, &self.0.traces).await;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Services {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.answer(request, &self.0.metrics).await;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Attributes as texts.
pub(crate) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let pair = |pair: &KeyValue| (pair.key.clone(), pair.value.as_ref().map(written).unwrap_or_default());
    attributes.iter().map(pair).collect()
}

fn written(value: &AnyValue) -> String {
    match value.value.as_ref() {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(array)) => array.values.iter().map(written).collect::<Vec<_>>().join(","),
        other => panic!("{other:?}"),
    }
}

/// The attributes of a span.
pub(crate) fn of(span: &Span) -> BTreeMap<String, String> {
    attributes(&span.attributes)
}

/// The kind of a span.
pub(crate) fn kind(span: &Span) -> SpanKind {
    SpanKind::try_from(span.kind).unwrap()
}

/// The number of values of a histogram, or the sum of a counter, over all of its points with this attribute.
pub(crate) fn total(metrics: &[Metric], name: &str, with: (&str, &str)) -> u64 {
    let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}"));
    let has = |pairs: &[KeyValue]| attributes(pairs).get(with.0).is_some_and(|value| value == with.1);
    match metric.data.as_ref().unwrap() {
        Data::Histogram(histogram) => {
            histogram.data_points.iter().filter(|point| has(&point.attributes)).map(|point| point.count).sum()
        }
        Data::Sum(sum) => {
            let points = sum.data_points.iter().filter(|point| has(&point.attributes));
            points.map(|point| number(point.value.as_ref().unwrap())).sum()
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn number(value: &opentelemetry_proto::tonic::metrics::v1::number_data_point::Value) -> u64 {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    match value {
        Value::AsInt(number) => u64::try_from(*number).unwrap(),
        Value::AsDouble(number) => panic!("{number}"),
    }
}
