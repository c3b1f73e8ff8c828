//! The checks that every method of the generation service passes, in one order, after [`crate::edge::authentication`]. The first three
//! run before the body is read.
//!
//! 1. the place of its line in the audit log: `AUDIT_LOG`
//! 2. graceful shutdown: `DRAINING`
//! 3. rate limits of the client: `LOCAL_LIMIT`
//! 4. the message ([`crate::edge::message`]): its timeout, the memory for requests, and the maxima of the contract
//!
//! The gates are a layer in front of the service, so they also apply to methods that are added later. A handler takes their result from the
//! request ([`Admitted::take`]) and fails without it. The request check, the concurrency limits and the reservation of tokens follow in
//! [`crate::service`], because they need the message.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::Extensions;

use crate::{
    admission::{AdmissionControl, request_memory::MemoryPermit},
    audit::Audit,
    edge::{authentication::signed::Received, bedrock_api::call::ApiCall, grpc::refusal, message::Messages},
    error::{Error, Reason},
    identity::Identity,
    shutdown::{InFlight, Shutdown},
    telemetry::call::CallRecord,
};

/// The methods that call a model. They have a separate rate limit.
const GENERATING: [&str; 2] = ["/outcrop.v1.GenerationService/Generate", "/outcrop.v1.GenerationService/CountTokens"];

/// The state of the gates.
#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) shutdown: Shutdown,
    pub(crate) admission: AdmissionControl,
    pub(crate) audit: Audit,
    pub(crate) messages: Messages,
}

/// The result of the gates for a call.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// Who makes the call.
    pub(crate) identity: Identity,
    /// What is recorded of it.
    pub(crate) record: Arc<CallRecord>,
    /// The shutdown waits for it.
    pub(crate) in_flight: Arc<InFlight>,
    /// The memory of the message. Hold it until the message is dropped.
    pub(crate) memory: Arc<MemoryPermit>,
}

impl Admitted {
    /// Takes the result of the gates from a request.
    ///
    /// # Errors
    /// `INTERNAL` if the request did not pass the gates.
    pub(crate) fn take<T>(request: &mut tonic::Request<T>) -> Result<Self, Error> {
        Self::granted(request.extensions_mut().remove())
    }

    /// The same for a request that is not one of gRPC.
    ///
    /// # Errors
    /// `INTERNAL` if the request did not pass the gates.
    pub(crate) fn take_from(extensions: &mut Extensions) -> Result<Self, Error> {
        Self::granted(extensions.remove())
    }

    fn granted(granted: Option<Self>) -> Result<Self, Error> {
        granted.ok_or_else(|| Error::new(Reason::Internal, "the call did not pass the gates of the server"))
    }
}

impl Gates {
    /// Applies the gates. Returns the request with its message received and the result attached.
    async fn pass(&self, record: &Arc<CallRecord>, mut request: Request) -> Result<Request, Error> {
        let identity = Identity::of(request.extensions())?;
        record.audited(self.audit.begin(&identity, request.uri().path(), record.generation_id())?);
        let in_flight = Arc::new(self.shutdown.enter()?);
        let limits = &identity.in_force().limits.settings;
        self.admission.check_rate(limits, identity.client(), GENERATING.contains(&request.uri().path()))?;
        let client = &identity.client().id;
        let of_api = request.extensions().get::<ApiCall>().is_some();
        let before = request.extensions_mut().remove::<Received>();
        let received = async {
            match (of_api, before) {
                // With a signature, which covers it.
                (true, Some(Received(memory))) => Ok((request, memory)),
                (true, None) => self.messages.receive_body(client, request).await,
                (false, _) => self.messages.receive(client, request).await,
            }
        };
        let (mut request, memory) = in_flight.unless_revoked(Box::pin(received)).await?;
        let record = Arc::clone(record);
        request.extensions_mut().insert(Admitted { identity, record, in_flight, memory });
        Ok(request)
    }
}

/// The layer.
pub(crate) async fn gates(State(gates): State<Arc<Gates>>, request: Request, next: Next) -> Response {
    let of_api = request.extensions().get::<ApiCall>().is_some();
    let record = match CallRecord::of(request.extensions()) {
        Ok(record) => record,
        Err(error) => return refusal(of_api, error),
    };
    match Box::pin(gates.pass(&record, request)).await {
        Ok(request) => next.run(request).await,
        Err(error) => {
            record.refuse(&error);
            refusal(of_api, error)
        }
    }
}
