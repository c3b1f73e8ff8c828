//! What ListQuotas lists: the quotas of the models that a caller may use, and the caller's own limits.

use std::collections::BTreeSet;

use crate::{
    identity::Identity,
    proto::{ListQuotasResponse, ModelQuota},
    quota::ledger::Ledger,
};

/// The quotas for a caller. Those of models that it may not use are left out, so that it does not learn of them.
pub(super) fn list(identity: &Identity, ledger: &Ledger) -> ListQuotasResponse {
    let (permissions, rules) = (identity.permissions(), &identity.in_force().rules);
    let models = rules.models().into_iter().filter(|model| permissions.allow_model(&model.name));
    let of_names: BTreeSet<_> =
        models.flat_map(|model| rules.routes.targets(&model.name)).map(|target| target.model_id).collect();
    let may_use = |quota: &ModelQuota| {
        let may_name = of_names.contains(&quota.model_id) || permissions.allow_model(&quota.model_id);
        may_name && permissions.allow_region(&quota.region)
    };
    let mut model_quotas = ledger.list(&identity.client().id);
    model_quotas.retain(may_use);
    ListQuotasResponse { model_quotas, caller_quotas: Vec::new(), sharing: ledger.sharing().into() }
}
