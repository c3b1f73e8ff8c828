//! What ListQuotas lists: the quotas of the models that a caller may use, and the caller's own limits. The operator sees the same of all models
//! and callers, as a page and as metrics.

use std::collections::BTreeSet;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};

use crate::{
    admission::{AdmissionControl, client::ClientId},
    identity::{Identity, directory::Directory},
    metrics::quotas::{CallerFigures, Figures, ModelFigures},
    proto::{self, ListQuotasResponse, ModelQuota},
    quota::ledger::Ledger,
};

/// All that is limited. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Quotas {
    pub(crate) directory: Directory,
    pub(crate) admission: AdmissionControl,
    pub(crate) ledger: Ledger,
}

impl Quotas {
    /// The quotas for a caller. Those of models that it may not use are left out, so that it does not learn of them.
    pub(super) fn list(&self, identity: &Identity) -> ListQuotasResponse {
        let (permissions, in_force) = (identity.permissions(), identity.in_force());
        let rules = &in_force.rules;
        let models = rules.models().into_iter().filter(|model| permissions.allow_model(&model.name));
        let of_names: BTreeSet<_> =
            models.flat_map(|model| rules.routes.targets(&model.name)).map(|target| target.model_id).collect();
        let may_use = |quota: &ModelQuota| {
            let may_name = of_names.contains(&quota.model_id) || permissions.allow_model(&quota.model_id);
            may_name && permissions.allow_region(&quota.region)
        };
        let client = identity.client();
        let mut model_quotas = self.ledger.list(&client.id);
        model_quotas.retain(may_use);
        let caller_quotas = self.admission.list(&in_force.limits.settings, client);
        ListQuotasResponse { model_quotas, caller_quotas, sharing: self.ledger.sharing().into() }
    }

    /// The page of the operator: the quotas of all models, those of all callers, and how many calls of each wait. Messages are in the JSON of
    /// protobuf, with the fields that are 0.
    ///
    /// # Errors
    /// If the descriptors of the contract do not have the messages, which is a defect of the build.
    pub(crate) fn page(&self) -> Result<Value, BoxError> {
        let settings = self.directory.in_force().limits.settings.clone();
        let quotas = |model_quotas, caller_quotas| {
            let sharing = self.ledger.sharing().into();
            to_json("outcrop.v1.ListQuotasResponse", &ListQuotasResponse { model_quotas, caller_quotas, sharing })
        };
        let mut waiting = self.ledger.waiting_calls();
        let mut callers = serde_json::Map::new();
        for client in self.directory.clients() {
            let name = client.id.to_string();
            let listed = quotas(Vec::new(), self.admission.list(&settings, &client))?;
            let waiting_calls = waiting.remove(&name).unwrap_or_default();
            callers.insert(name, json!({"callerQuotas": listed["callerQuotas"], "waitingCalls": waiting_calls}));
        }
        // Clients of a server without callers.
        callers.extend(waiting.into_iter().map(|(name, waiting_calls)| (name, json!({"waitingCalls": waiting_calls}))));
        let mut page = quotas(self.ledger.list(&ClientId::Unknown), Vec::new())?;
        page["callers"] = Value::Object(callers);
        if let Some(page) = page.as_object_mut() {
            page.remove("callerQuotas");
        }
        Ok(page)
    }

    /// The same for the metrics.
    pub(crate) fn figures(&self) -> Figures {
        let models = self.ledger.list_charged(&ClientId::Unknown).into_iter();
        let clients = self.directory.clients().into_iter();
        let budgets = self.admission.budgets();
        Figures {
            models: models
                .map(|charged| ModelFigures { quota: charged.quota, charged_tokens: charged.tokens })
                .collect(),
            callers: clients
                .map(|client| CallerFigures {
                    budgets: budgets.list(&client.id.to_string(), &client.budget),
                    name: client.id.to_string(),
                })
                .collect(),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message of the contract in the JSON of protobuf. 64-bit numbers are numbers, and fields without a value are there.
fn to_json(name: &str, message: &impl Message) -> Result<Value, BoxError> {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)?;
    let descriptor = pool.get_message_by_name(name).ok_or_else(|| format!("the contract has no message {name}"))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().stringify_64_bit_integers(false).skip_default_fields(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}
