//! Tests of the aliases of the file.

use super::*;
use crate::{error::ConfigError, failover::routes::Target, proto::ModelKind};

fn of_file(name: &str, text: &str, flags: &[&str]) -> Result<Settings, ConfigError> {
    let file = TestFile::new(name, text);
    serve(&[&["--local", "--config", file.path()], flags].concat())
}

const CALLER: &str = "[[caller]]\nname = \"a\"\nkeys = [{ id = \"abcdefghjkmn\", sha256 = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\" }]\n";

#[test]
fn an_alias_is_a_route_and_the_default_model_and_a_name_for_permissions() {
    let text = format!(
        "default_model = \"short\"\n[routes]\nfast = [\"a.b\", \"c.d\"]\nwide = [\"plain\"]\n[alias.short]\nmodel = \"fast\"\nmax_tokens = 5\nmax_tokens_limit = 9\ndescription = \"Few words\"\n[alias.plain]\ntargets = [\"e.f@eu-west-1\"]\n{CALLER}models = [\"short\", \"pla*\"]\n"
    );
    let rules = of_file("alias-names", &text, &[]).unwrap().rules;
    assert_eq!(rules.routes.targets("short"), [Target::here("a.b"), Target::here("c.d")]);
    assert_eq!(rules.routes.targets("wide"), rules.routes.targets("plain"), "a route can have an alias as target");
    assert_eq!(rules.aliases["short"].inference.max_tokens, Some(5));
    let models = rules.models();
    let names: Vec<_> = models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["short", "fast", "plain", "wide"]);
    assert!(models.iter().all(|model| model.kind() == ModelKind::Route));
    assert_eq!((models[0].description.as_str(), models[0].max_tokens), ("Few words", Some(9)));
}

#[test]
fn a_flag_with_routes_replaces_those_of_the_file_and_keeps_the_aliases() {
    let text = "[routes]\nfast = [\"a.b\"]\n[alias.short]\nmodel = \"quick\"\n";
    let rules = of_file("alias-flag", text, &["--route", "quick=g.h"]).unwrap().rules;
    assert_eq!(rules.routes.names().collect::<Vec<_>>(), ["quick", "short"]);
    assert_eq!(rules.routes.targets("short"), [Target::here("g.h")]);
}

#[test]
fn all_problems_of_aliases_are_reported_at_once_with_their_lines() {
    let text = format!(
        "alias.five = 5\n[alias.\"a b\"]\nmodel = \"x.y\"\n[alias.two]\nmodel = \"x.y\"\ntargets = [\"x.y\"]\n[alias.three]\nmodel = \"x.y\"\nattempts = 2\nmax_token = 1\n[alias.four]\nmodel = \"emulator.none\"\nsystem = \" \"\n{CALLER}models = [\"thre\"]\n"
    );
    let ConfigError(found) = of_file("alias-problems", &text, &["--attempts", "1"]).unwrap_err();
    for (line, part) in [
        (1, "alias.five is a whole number; it must be a table, written [alias.NAME]"),
        (2, "alias.a b is not the name of an alias"),
        (4, "alias.two has model and targets"),
        (9, "alias.three.attempts is a setting of the server"),
        (10, "alias.three.max_token is not a known key; did you mean max_tokens?"),
        (12, "alias.four.model names emulator.none, which the emulator does not have"),
        (13, "alias.four.system is blank"),
        (17, "caller[0].models[0] is \"thre\", which matches no route; did you mean three?"),
    ] {
        let is_there = |problem: &String| problem.contains(&format!(":{line}: ")) && problem.contains(part);
        assert!(found.iter().any(is_there), "{line}: {part} in {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn what_is_in_force_has_the_aliases() {
    let file = TestFile::new("alias-in-force", "[alias.short]\nmodel = \"a.b\"\nmax_tokens = 5\n");
    let (_, layers) = Inputs::new(["outcrop", "serve", "--config", file.path()], []).load().unwrap();
    let printed = in_force(&layers);
    let block = format!("\n# {}:1\n[alias.short]\nmax_tokens = 5\nmodel = \"a.b\"\n", file.path());
    assert!(printed.contains(&block), "{printed}");
}
