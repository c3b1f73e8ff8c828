//! The configured routes. A route is an ordered list of targets.

use std::{collections::BTreeMap, fmt};

/// A model in a region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The model id, inference profile id or ARN.
    pub model_id: String,
    /// The AWS region; `None` is the server's own.
    pub region: Option<String>,
}

/// The routes by name. A request names a route in place of a model.
#[derive(Clone, Debug, Default)]
pub struct Routes(BTreeMap<String, Vec<Target>>);

/// A route as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRoute {
    /// The words that name it at the beginning of a problem, such as `--route fast`.
    pub place: String,
    /// Its name.
    pub name: String,
    /// Its targets, each one as in the flag.
    pub targets: Vec<String>,
}

/// An entry of a route as it is configured.
#[derive(Debug)]
enum Hop {
    Target(Target),
    /// Another route. Its targets are inserted.
    Route(String),
}

impl Target {
    /// A model in the server's own region.
    pub fn here(model_id: impl Into<String>) -> Self {
        Self { model_id: model_id.into(), region: None }
    }
}

impl WrittenRoute {
    /// Reads a value of the flag.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_flag(entry: &str) -> Result<Self, String> {
        let Some((name, targets)) = entry.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
            return Err(format!("--route is {entry:?}; it must be NAME=TARGET,TARGET"));
        };
        let name = name.trim().to_owned();
        let targets = targets.split(',').map(|target| target.trim().to_owned()).collect();
        Ok(Self { place: format!("--route {name}"), name, targets })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model_id, region } = self;
        match region {
            Some(region) => write!(f, "{model_id}@{region}"),
            None => write!(f, "{model_id}"),
        }
    }
}

impl Routes {
    /// Parses routes of the form `NAME=TARGET,TARGET`. A target is `MODEL`, `MODEL@REGION`, `@REGION` (the model that the route is named
    /// after) or the name of another route. A route has at most `most` targets, because a call makes no more attempts.
    ///
    /// # Errors
    /// All problems, each with a correction.
    pub fn parse(entries: &[String], most: usize) -> Result<Self, Vec<String>> {
        let (mut written, mut problems) = (Vec::new(), Vec::new());
        for entry in entries {
            match WrittenRoute::of_flag(entry) {
                Ok(route) => written.push(route),
                Err(problem) => problems.push(problem),
            }
        }
        match Self::of(&written, most) {
            Ok(routes) if problems.is_empty() => Ok(routes),
            Ok(_) => Err(problems),
            Err(further) => Err(problems.into_iter().chain(further).collect()),
        }
    }

    /// The routes as they are written, with the routes that are their targets expanded. A route has at most `most` targets.
    ///
    /// # Errors
    /// All problems, each with a correction.
    pub fn of(entries: &[WrittenRoute], most: usize) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let (mut written, mut places) = (BTreeMap::new(), BTreeMap::new());
        for WrittenRoute { place, name, targets } in entries {
            let hops = targets.iter().map(|target| hop(name, target)).collect();
            if written.insert(name.clone(), hops).is_some() {
                problems.push(format!("{place} is given twice. Put all targets into one, or rename one"));
            }
            places.insert(name, place);
        }
        // A model id can be the name of a route.
        let mut routes = BTreeMap::new();
        for (name, place) in places {
            match expand(name, &written, &mut vec![name]) {
                Ok(targets) if targets.len() > most => problems.push(format!(
                    "{place} has {} targets, and --attempts is {most}: the last would never be tried. Raise --attempts, or name fewer targets",
                    targets.len()
                )),
                Ok(targets) => {
                    routes.insert(name.clone(), targets);
                }
                Err(problem) => problems.push(format!("{place} {problem}")),
            }
        }
        if problems.is_empty() { Ok(Self(routes)) } else { Err(problems) }
    }

    /// The names of the routes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether this is the name of a route, or the model of one of its targets.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name) || self.0.values().flatten().any(|target| target.model_id == name)
    }

    /// The targets of a route. Empty if there is none with this name.
    pub fn targets_of(&self, name: &str) -> Vec<Target> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// The targets of this name in order of preference: those of a route, or the model itself.
    pub fn targets(&self, model: &str) -> Vec<Target> {
        self.0.get(model).cloned().unwrap_or_else(|| vec![Target::here(model)])
    }
}

fn hop(name: &str, written: &str) -> Result<Hop, String> {
    let (model, region) = match written.rsplit_once('@') {
        Some((model, region)) => (model, Some(region)),
        None => (written, None),
    };
    if let Some(region) = region.filter(|region| !is_region(region)) {
        return Err(format!("has the target {written:?}, and {region:?} is no AWS region, such as us-west-2"));
    }
    match (model, region) {
        ("", None) => Err("has an empty target. Write MODEL, MODEL@REGION, @REGION or the name of a route".to_owned()),
        ("", Some(region)) => Ok(Hop::Target(Target { model_id: name.to_owned(), region: Some(region.to_owned()) })),
        (model, Some(region)) => {
            Ok(Hop::Target(Target { model_id: model.to_owned(), region: Some(region.to_owned()) }))
        }
        (model, None) if model == name && is_model(model) => Ok(Hop::Target(Target::here(model))),
        (model, None) => Ok(Hop::Route(model.to_owned())),
    }
}

/// The targets of a route, with the routes in it expanded. `path` has the routes that are being expanded.
fn expand<'a>(
    name: &str,
    written: &'a BTreeMap<String, Vec<Result<Hop, String>>>,
    path: &mut Vec<&'a str>,
) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    for hop in written.get(name).into_iter().flatten() {
        match hop {
            Err(problem) => return Err(problem.clone()),
            Ok(Hop::Target(target)) => targets.push(target.clone()),
            Ok(Hop::Route(next)) if path.contains(&next.as_str()) => {
                return Err(format!("loops: {} -> {next}", path.join(" -> ")));
            }
            Ok(Hop::Route(next)) if written.contains_key(next) => {
                path.push(next);
                targets.extend(expand(next, written, path)?);
                path.pop();
            }
            Ok(Hop::Route(model)) if is_model(model) => targets.push(Target::here(model)),
            Ok(Hop::Route(unknown)) => {
                let known: Vec<_> = written.keys().map(String::as_str).collect();
                return Err(format!(
                    "names the unknown target {unknown:?}. It must be a model id (provider.model), an ARN or a route ({})",
                    known.join(", ")
                ));
            }
        }
    }
    Ok(targets)
}

/// Whether this has the form of a model id, of an inference profile id or of an ARN.
pub(crate) fn is_model(name: &str) -> bool {
    name.contains('.') || name.starts_with("arn:")
}

/// Whether this has the form of a region, such as `us-west-2` or `us-gov-east-1`.
pub(crate) fn is_region(name: &str) -> bool {
    let parts: Vec<_> = name.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase());
    let number = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    matches!(parts.split_last(), Some((last, words)) if words.len() >= 2 && number(last) && words.iter().all(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[&str]) -> Result<Routes, Vec<String>> {
        Routes::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>(), 3)
    }

    fn written(routes: &Routes, name: &str) -> Vec<String> {
        routes.targets(name).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_route_is_a_list_of_targets_and_may_take_in_another() {
        let routes = parse(&["claude=us.a.b@us-east-1,backup", "backup=a.b@eu-west-1,c.d", "x.y=x.y,@us-gov-east-1"]);
        let routes = routes.unwrap();
        assert_eq!(written(&routes, "claude"), ["us.a.b@us-east-1", "a.b@eu-west-1", "c.d"]);
        assert_eq!(written(&routes, "x.y"), ["x.y", "x.y@us-gov-east-1"]);
        assert_eq!(written(&routes, "no.route"), ["no.route"]);
    }

    #[test]
    fn what_is_wrong_with_routes_is_said_all_at_once() {
        let problems = parse(&[
            "nothing",
            "a=b",
            "b=a",
            "c=nowhere",
            "d=m.n@moon",
            "e=,x.y",
            "f=p.q@us-east-1,p.q@us-east-2,p.q@us-west-1,p.q@us-west-2",
            "c=x.y",
        ])
        .unwrap_err()
        .join("\n");
        let expected = [
            "\"nothing\"; it must be NAME=TARGET",
            "a loops: a -> b -> a",
            "b loops: b -> a -> b",
            "d has the target \"m.n@moon\", and \"moon\" is no AWS region",
            "e has an empty target",
            "f has 4 targets, and --attempts is 3",
            "c is given twice",
        ];
        for part in expected {
            assert!(problems.contains(part), "{part} in\n{problems}");
        }
        let unknown = parse(&["c=nowhere"]).unwrap_err().join("\n");
        assert!(unknown.contains("unknown target \"nowhere\""), "{unknown}");
    }
}
