//! What a caller may ask for. [`crate::request::permitted`] applies it to requests, and [`crate::edge::authentication`] to methods.

use std::{collections::BTreeSet, sync::LazyLock};

use super::settings::PermissionSettings;

/// The name of the permission to read the metrics. Callers do not have it by default, because metrics tell about all tenants.
pub(crate) const METRICS: &str = "metrics";

/// The name of the permission to call server reflection.
pub(crate) const REFLECTION: &str = "reflection";

/// The permissions on a server without callers.
pub(super) static ALL: LazyLock<Permissions> = LazyLock::new(|| Permissions {
    models: None,
    regions: None,
    methods: Some(Methods::All),
    native_bodies: true,
    s3_prefixes: None,
});

/// The permissions of a caller.
#[derive(Clone, Debug)]
pub(crate) struct Permissions {
    models: Option<Vec<Pattern>>,
    regions: Option<BTreeSet<String>>,
    methods: Option<Methods>,
    native_bodies: bool,
    /// `None`: all of Amazon S3.
    s3_prefixes: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
enum Methods {
    All,
    These(BTreeSet<String>),
}

/// A name, or the beginning of names.
#[derive(Clone, Debug)]
enum Pattern {
    Name(String),
    Beginning(String),
}

impl Permissions {
    pub(crate) fn new(settings: &PermissionSettings) -> Self {
        let patterns = |names: &Vec<String>| names.iter().map(|name| Pattern::parse(name)).collect();
        Self {
            models: settings.models.as_ref().map(patterns),
            regions: settings.regions.clone(),
            methods: settings.methods.clone().map(Methods::These),
            native_bodies: settings.native_bodies,
            s3_prefixes: Some(settings.s3_prefixes.clone()),
        }
    }

    /// Whether a method of the generation service, `reflection` or `metrics` may be called.
    pub(crate) fn allow_method(&self, method: &str) -> bool {
        match &self.methods {
            None => method != METRICS,
            Some(Methods::All) => true,
            Some(Methods::These(methods)) => methods.contains(method),
        }
    }

    /// Whether a request may name this model or route.
    pub(crate) fn allow_model(&self, name: &str) -> bool {
        self.models.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
    }

    /// Whether the configuration of the caller names exactly this model or route.
    pub(crate) fn name_model(&self, name: &str) -> bool {
        let names = |pattern: &Pattern| matches!(pattern, Pattern::Name(own) if own == name);
        self.models.as_ref().is_some_and(|patterns| patterns.iter().any(names))
    }

    /// Whether a request may be sent to this AWS region.
    pub(crate) fn allow_region(&self, region: &str) -> bool {
        self.regions.as_ref().is_none_or(|regions| regions.contains(region))
    }

    /// Whether a request may have a `native_body`.
    pub(crate) fn allow_native_bodies(&self) -> bool {
        self.native_bodies
    }

    /// Whether a request may name this S3 URI. A prefix that does not end in `/` ends at the end of a path segment, so that
    /// `s3://bucket` does not allow `s3://bucket-of-another`.
    pub(crate) fn allow_s3(&self, uri: &str) -> bool {
        let Some(prefixes) = &self.s3_prefixes else { return true };
        let within = |prefix: &String| {
            uri.strip_prefix(prefix.as_str())
                .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
        };
        prefixes.iter().any(within)
    }
}

impl Pattern {
    fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.to_owned()),
            None => Self::Name(text.to_owned()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Beginning(beginning) => name.starts_with(beginning),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings<T: FromIterator<String>>(texts: &[&str]) -> T {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_caller_without_settings_may_call_every_model_and_reads_neither_s3_nor_the_metrics() {
        let permissions = Permissions::new(&PermissionSettings::default());
        assert!(permissions.allow_model("a.b") && permissions.allow_region("us-east-1"));
        assert!(permissions.allow_method("Generate") && permissions.allow_method(REFLECTION));
        assert!(!permissions.allow_method(METRICS));
        assert!(!permissions.allow_native_bodies() && !permissions.allow_s3("s3://bucket/key"));
    }

    #[test]
    fn what_is_not_listed_is_not_allowed() {
        let permissions = Permissions::new(&PermissionSettings {
            models: Some(strings(&["anthropic.*", "fast"])),
            regions: Some(strings(&["eu-west-1"])),
            methods: Some(strings(&["Generate"])),
            native_bodies: true,
            s3_prefixes: strings(&["s3://docs/team-a/", "s3://public"]),
        });
        assert!(permissions.allow_model("anthropic.claude") && permissions.allow_model("fast"));
        assert!(!permissions.allow_model("faster") && !permissions.allow_model("us.anthropic.claude"));
        assert!(permissions.allow_region("eu-west-1") && !permissions.allow_region("eu-west-2"));
        assert!(permissions.allow_method("Generate") && !permissions.allow_method("ListModels"));
        for (uri, allowed) in [
            ("s3://docs/team-a/x", true),
            ("s3://docs/team-b/x", false),
            ("s3://public", true),
            ("s3://public/x", true),
            ("s3://publicly/x", false),
        ] {
            assert_eq!(permissions.allow_s3(uri), allowed, "{uri}");
        }
    }

    #[test]
    fn a_server_without_callers_allows_everything() {
        assert!(ALL.allow_method(METRICS) && ALL.allow_s3("s3://a/b") && ALL.allow_native_bodies());
    }
}
