//! Checks callers and issuers against each other and against the rest of the settings: a name that matches nothing is refused.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::FileDescriptorSet;

use super::{
    file::{ConfigFile, meant},
    problems::Problems,
};
use crate::{
    admission::LimitSettings,
    failover::routes::is_model,
    identity::settings::{CallerSettings, IdentitySettings},
    proto,
};

/// Names in `methods` besides those of the generation service.
const OTHER_METHODS: [&str; 2] = ["reflection", "metrics"];

/// The callers and issuers of the file. Problems with them are added.
pub(super) fn resolve(
    file: Option<&ConfigFile>,
    routes: &[String],
    limits: &LimitSettings,
    problems: &mut Problems,
) -> IdentitySettings {
    let Some(file) = file else { return IdentitySettings::default() };
    let IdentitySettings { callers, issuers } = &file.identity;
    let mut check = Check { file, problems };
    let names = callers.iter().enumerate().filter(|(_, caller)| !caller.name.is_empty());
    check.unique(names.map(|(at, caller)| (format!("caller[{at}].name"), &caller.name)));
    let urls = issuers.iter().enumerate().filter(|(_, issuer)| !issuer.issuer.is_empty());
    check.unique(urls.map(|(at, issuer)| (format!("issuer[{at}].issuer"), &issuer.issuer)));
    check.credentials(callers);
    check.adoption(callers);
    let known: BTreeSet<_> = issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    let methods = methods();
    for (at, caller) in callers.iter().enumerate() {
        check.issuers(at, caller, &known);
        check.models(at, caller, routes);
        check.methods(at, caller, &methods);
        check.limits(at, caller, limits);
    }
    file.identity.clone()
}

/// Reports certificates of callers, which match nothing, because no client is asked for one.
pub(super) fn refuse_certificates(file: Option<&ConfigFile>, problems: &mut Problems) {
    let Some(file) = file else { return };
    let callers = file.identity.callers.iter().enumerate();
    for (at, _) in callers.filter(|(_, caller)| !caller.certificates.is_empty()) {
        let text = "match nothing: clients are not asked for certificates. Set --tls-client-ca, or --forwarded-client-certs behind a proxy";
        problems.add(file.located(&format!("caller[{at}].certificates"), text));
    }
}

struct Check<'a, 'b> {
    file: &'a ConfigFile,
    problems: &'a mut Problems<'b>,
}

impl Check<'_, '_> {
    fn problem(&mut self, key: &str, text: &str) {
        self.problems.add(self.file.located(key, text));
    }

    /// Reports values that are there twice.
    fn unique<T: Ord>(&mut self, values: impl Iterator<Item = (String, T)>) {
        let mut seen: BTreeMap<T, String> = BTreeMap::new();
        for (key, value) in values {
            if let Some(first) = seen.get(&value) {
                let line = self.file.line(first).map(|line| format!(" in line {line}")).unwrap_or_default();
                self.problem(&key, &format!("is the same as {first}{line}. Each must be there once"));
            } else {
                seen.insert(value, key);
            }
        }
    }

    /// Each credential proves one caller. Values that could not be read are empty here, and were reported.
    fn credentials(&mut self, callers: &[CallerSettings]) {
        let keys = || {
            callers.iter().enumerate().flat_map(|(at, caller)| {
                let keys = caller.keys.iter().enumerate();
                keys.map(move |(key, settings)| (format!("caller[{at}].keys[{key}]"), settings))
            })
        };
        let ids = keys().filter(|(_, key)| !key.id.is_empty());
        self.unique(ids.map(|(path, key)| (format!("{path}.id"), &key.id)));
        let hashes = keys().filter(|(_, key)| key.sha256 != [0; 32]);
        self.unique(hashes.map(|(path, key)| (format!("{path}.sha256"), key.sha256)));
        let certificates = callers.iter().enumerate().flat_map(|(at, caller)| {
            let certificates = caller.certificates.iter().enumerate().filter(|(_, uri)| !uri.is_empty());
            certificates.map(move |(certificate, uri)| (format!("caller[{at}].certificates[{certificate}]"), uri))
        });
        self.unique(certificates);
        let tokens = callers.iter().enumerate().flat_map(|(at, caller)| {
            let tokens = caller.tokens.iter().enumerate().filter(|(_, token)| !token.issuer.is_empty());
            tokens.map(move |(token, settings)| {
                (format!("caller[{at}].jwt[{token}]"), (&settings.issuer, &settings.claims))
            })
        });
        self.unique(tokens);
    }

    fn adoption(&mut self, callers: &[CallerSettings]) {
        let adopting = callers.iter().enumerate().filter(|(_, caller)| caller.adopts_unowned_conversations);
        for (at, _) in adopting.skip(1).collect::<Vec<_>>() {
            let key = format!("caller[{at}].adopts_unowned_conversations");
            self.problem(&key, "is true for a second caller. Conversations have one owner: leave it true for one");
        }
    }

    fn issuers(&mut self, at: usize, caller: &CallerSettings, known: &BTreeSet<&str>) {
        for (token, settings) in caller.tokens.iter().enumerate().filter(|(_, token)| !token.issuer.is_empty()) {
            if !known.contains(settings.issuer.as_str()) {
                let meant = meant(&settings.issuer, known.iter().copied());
                let key = format!("caller[{at}].jwt[{token}].issuer");
                let issuer = &settings.issuer;
                self.problem(&key, &format!("is {issuer:?}, which no [[issuer]] has{meant}"));
            }
        }
    }

    /// A name is taken for that of a model if it has a dot or begins with `arn:`, as ids of models and inference profiles do. Any other name
    /// must be that of a route, and the beginning of a name must be that of a route.
    fn models(&mut self, at: usize, caller: &CallerSettings, routes: &[String]) {
        let names = caller.permissions.models.iter().flatten().enumerate();
        for (model, name) in names.filter(|(_, name)| !name.is_empty()) {
            let matches = match name.strip_suffix('*') {
                Some(beginning) => beginning.is_empty() || routes.iter().any(|route| route.starts_with(beginning)),
                None => routes.contains(name),
            };
            if !matches && !is_model(name) {
                let meant = meant(name, routes.iter().map(String::as_str));
                let wanted = "a route, or a model id such as amazon.nova-lite-v1:0 or anthropic.*";
                let key = format!("caller[{at}].models[{model}]");
                self.problem(&key, &format!("is {name:?}, which matches no route{meant}. It must be {wanted}"));
            }
        }
    }

    fn methods(&mut self, at: usize, caller: &CallerSettings, known: &BTreeSet<String>) {
        for method in
            caller.permissions.methods.iter().flatten().filter(|method| !method.is_empty() && !known.contains(*method))
        {
            let meant = meant(method, known.iter().map(String::as_str));
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            let key = format!("caller[{at}].methods");
            self.problem(
                &key,
                &format!("has {method:?}, which is not a method{meant}. Methods are {}", known.join(", ")),
            );
        }
    }

    fn limits(&mut self, at: usize, caller: &CallerSettings, limits: &LimitSettings) {
        let reserved = limits.reserved_tokens;
        if let Some(tokens) = caller.limits.tokens_per_minute.filter(|tokens| tokens.get() < reserved) {
            let key = format!("caller[{at}].tokens_per_minute");
            self.problem(&key, &format!("is {tokens}, which is less than --reserved-tokens ({reserved}): no request without max_tokens can be served. Raise one or lower the other"));
        }
    }
}

/// The names that `methods` can have.
fn methods() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(proto::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let services = set.file.into_iter().flat_map(|file| file.service);
    let generation =
        services.filter(|service| service.name() == "GenerationService").flat_map(|service| service.method);
    generation.map(|method| method.name().to_owned()).chain(OTHER_METHODS.map(str::to_owned)).collect()
}
