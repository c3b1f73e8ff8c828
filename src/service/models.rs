//! ListModels: the models of the configuration, and those of the AWS account if the server lists them.

use crate::{
    bedrock::account::{
        Account,
        cache::{Cache, Known},
    },
    identity::Identity,
    proto::{ListModelsResponse, Model, ModelKind},
};

/// The models of the account.
#[derive(Debug)]
pub(crate) struct AccountModels {
    account: Account,
    cache: Cache,
}

impl AccountModels {
    pub(crate) fn new(account: Account) -> Self {
        Self { account, cache: Cache::default() }
    }

    async fn known(&self) -> Known {
        self.cache.get(async || self.account.list(self.account.home()).await).await
    }
}

/// The models and routes that a caller may name.
pub(super) async fn list(identity: &Identity, account: Option<&AccountModels>) -> ListModelsResponse {
    let permissions = identity.permissions();
    let mut models = identity.in_force().rules.models();
    let mut account_problem = String::new();
    // Requests that name a model of the account go to the region of the server.
    if let Some(account) = account.filter(|account| permissions.allow_region(account.account.home())) {
        let Known { listed, problem, .. } = account.known().await;
        account_problem = problem;
        add(&mut models, &listed.models);
    }
    models.retain(|model| permissions.allow_model(&model.name));
    ListModelsResponse { models, account_problem }
}

/// Adds models of the account. One that the configuration names gets what the account knows of it.
fn add(models: &mut Vec<Model>, listed: &[Model]) {
    for model in listed {
        match models.iter_mut().find(|known| known.name == model.name) {
            Some(known) if known.kind() != ModelKind::Route => {
                let (is_default, max_tokens) = (known.is_default, known.max_tokens);
                *known = Model { is_default, max_tokens, ..model.clone() };
            }
            // A route can have the name of a model.
            Some(_) => {}
            None => models.push(model.clone()),
        }
    }
}
