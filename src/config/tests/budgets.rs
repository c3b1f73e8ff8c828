//! Tests of the place of a caller among those that wait for quota, and of its budget.

use super::{
    layering::{TestFile, resolve},
    quotas::{FLAGS, KEYS, below_routes},
};

#[test]
fn a_wrong_share_or_budget_of_a_caller_is_refused_with_its_line() {
    for (at, (text, said)) in [
        ("weight = 0", "F:9: caller[0].weight is 0; it must be a whole number from 1 to 1000"),
        ("weight = 1001", "F:9: caller[0].weight is 1001; it must be a whole number from 1 to 1000"),
        ("priority = \"low\"", "F:9: caller[0].priority is \"low\"; it must be interactive or batch"),
        ("budget = 5", "F:9: caller[0].budget is 5; it must be a table"),
        (
            "[caller.budget]",
            "F:9: caller[0].budget limits nothing. Add at least one of tokens_per_day, tokens_per_month, cost",
        ),
        ("budget.tokens_per_day = 0", "F:9: caller[0].budget.tokens_per_day is 0; it must be a whole number from 1 to"),
        ("budget.tokens_per_month = -1", "F:9: caller[0].budget.tokens_per_month is -1; it must be a whole number"),
        (
            "budget.cost_per_day = 0",
            "F:9: caller[0].budget.cost_per_day is 0; it must be more than 0. Leave it out for no limit",
        ),
        (
            "budget.cost_per_month = 0.0000001",
            "F:9: caller[0].budget.cost_per_month is 0.0000001, which has more than 6",
        ),
        ("budget.tokens_per_hour = 5", "F:9: caller[0].budget.tokens_per_hour is not a known key"),
    ]
    .into_iter()
    .enumerate()
    {
        let found = below_routes(&format!("share-{at}"), &format!("[[caller]]\nname = \"a\"\n{KEYS}\n{text}\n"));
        assert!(found.iter().any(|problem| problem.starts_with(said)), "{said} in {found:#?}");
    }
}

#[test]
fn a_budget_in_money_needs_a_price_for_every_model_of_the_caller() {
    let price = "[price.\"c.d\"]\ninput = 1\noutput = 1\n";
    let caller = |more: &str| format!("{price}[[caller]]\nname = \"a\"\n{KEYS}\n{more}\nbudget.cost_per_day = 1\n");
    for (at, (more, said)) in [
        ("", Some("limits the cost, and the caller may use every model, also one without a price. Add models")),
        ("models = [\"c.*\"]", Some("limits the cost, and \"c.*\" in models also allows models without a price")),
        (
            "models = [\"c.d\", \"fast\", \"short\"]",
            Some("limits the cost, and there is no price of e.f, us.a.b. Add [price.\"e.f\"] for each"),
        ),
        ("models = [\"c.d\", \"x.y\"]", Some("limits the cost, and there is no price of x.y. Add [price.\"x.y\"]")),
        ("models = [\"c.d\"]", None),
        ("models = [\"c.d\", \"fast\"]\nregions = [\"us-east-1\"]", None),
        ("models = [\"short\"]\nregions = [\"us-west-2\"]", None),
        ("models = []", None),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("cost-{at}");
        let routes =
            "[routes]\nfast = [\"us.a.b@us-west-2\", \"c.d\"]\nslow = \"fast\"\n[alias.short]\nmodel = \"e.f\"\n";
        match said {
            Some(said) => {
                let found = below_routes(&name, &caller(more));
                let place = "caller[0].budget.cost_per_day ";
                assert!(found.len() == 1 && found[0].contains(&format!(": {place}{said}")), "{said} in {found:#?}");
            }
            None => drop(resolve(&TestFile::new(&name, &format!("{routes}{}", caller(more))), &FLAGS, &[]).unwrap()),
        }
    }
}
