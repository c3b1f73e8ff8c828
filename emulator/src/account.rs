//! What the account has: the listings of the control plane, page by page its inference profiles, refusals of both, one model or profile, and its
//! service quotas.

use std::collections::VecDeque;

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    answer::{json_body, refuse},
    listed, names,
    routes::Shared,
    script::Refusal,
    service_quotas::ServiceQuotas,
};

/// The largest page of inference profiles: Bedrock's limit.
const PAGE: usize = 1_000;

/// What the account has. Without its own models it has the default ones ([`crate::listed`]).
#[derive(Debug)]
pub(crate) struct Account {
    models: Mutex<Option<Vec<Value>>>,
    profiles: Mutex<Vec<Value>>,
    refusals: Mutex<VecDeque<Refusal>>,
    /// The largest page.
    page: Mutex<usize>,
    /// The requests for listings so far.
    requests: Mutex<u64>,
    /// What AWS Service Quotas has of it.
    pub(crate) service_quotas: ServiceQuotas,
}

impl Default for Account {
    fn default() -> Self {
        let (models, refusals, requests, service_quotas) = Default::default();
        let profiles = Mutex::new(listed::profiles());
        Self { models, profiles, refusals, page: Mutex::new(PAGE), requests, service_quotas }
    }
}

impl Account {
    /// Replaces the models and inference profiles, in the form of Bedrock's summaries. A page has at most `page` of the profiles.
    pub(crate) fn replace(&self, models: Vec<Value>, profiles: Vec<Value>, page: usize) {
        *self.page.lock() = page.clamp(1, PAGE);
        *self.models.lock() = Some(models);
        *self.profiles.lock() = profiles;
    }

    /// Refuses the next requests for listings.
    pub(crate) fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.refusals.lock().extend(refusals);
    }

    /// The requests for listings so far.
    pub(crate) fn requests(&self) -> u64 {
        *self.requests.lock()
    }

    /// The refusal of this request, if it is refused.
    fn admit(&self) -> Result<(), Box<Response>> {
        *self.requests.lock() += 1;
        match self.refusals.lock().pop_front() {
            None => Ok(()),
            Some(Refusal { status, exception, message, .. }) => {
                Err(Box::new(refuse(status, &exception.unwrap_or_default(), &message)))
            }
        }
    }
}

pub(crate) async fn models(State(shared): State<Shared>) -> Response {
    if let Err(refused) = shared.account.admit() {
        return *refused;
    }
    let own = shared.account.models.lock().clone();
    let models = own.unwrap_or_else(|| listed::models(&shared.catalogue.names()));
    json_body(&json!({"modelSummaries": models}))
}

pub(crate) async fn profiles(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    if let Err(refused) = shared.account.admit() {
        return *refused;
    }
    let profiles = shared.account.profiles.lock().clone();
    let parameter = |name: &str, otherwise: usize| {
        let mut parameters = query.iter().flat_map(|query| query.split('&')).filter_map(|one| one.split_once('='));
        parameters.find(|(own, _)| *own == name).map_or(Ok(otherwise), |(_, value)| value.parse())
    };
    let (Ok(start), Ok(size)) = (parameter("nextToken", 0), parameter("maxResults", PAGE)) else {
        return refuse(400, "ValidationException", "The page is not valid.");
    };
    let largest = *shared.account.page.lock();
    let end = start.saturating_add(size.clamp(1, largest)).min(profiles.len());
    let mut answer = json!({"inferenceProfileSummaries": profiles.get(start..end).unwrap_or_default()});
    if let (true, Some(answer)) = (end < profiles.len(), answer.as_object_mut()) {
        answer.insert("nextToken".to_owned(), end.to_string().into());
    }
    json_body(&answer)
}

/// GetFoundationModel. Without own models of the account every id is one that is answered.
pub(crate) async fn model(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let id = if id.starts_with("arn:") { id.rsplit('/').next().unwrap_or_default() } else { &id };
    let own = shared.account.models.lock().clone();
    let found = match own {
        Some(models) => models.into_iter().find(|model| model["modelId"] == id),
        None => (names::is_named(id) || names::is_model(id)).then(|| listed::model(id)),
    };
    match found {
        Some(model) => json_body(&json!({"modelDetails": model})),
        None => missing("foundation model"),
    }
}

/// GetInferenceProfile. Profiles that are not listed are those of the geographies, and those of applications.
pub(crate) async fn profile(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let profiles = shared.account.profiles.lock().clone();
    let is_asked = |profile: &Value| profile["inferenceProfileId"] == id || profile["inferenceProfileArn"] == id;
    let own = profiles.into_iter().find(is_asked);
    let is_default = shared.account.models.lock().is_none();
    match own.or_else(|| listed::profile_of(&id).filter(|_| is_default)) {
        Some(profile) => json_body(&profile),
        None => missing("inference profile"),
    }
}

fn missing(what: &str) -> Response {
    let message = format!("Could not resolve the {what} from the identifier.");
    refuse(404, "ResourceNotFoundException", &message)
}
