//! Faults come in the share that was asked for, and the same ones for the same seed.

use serde_json::json;

use super::*;
use crate::served::{Served, prompt};

fn reply() -> Script {
    Script::reply("one two three")
}

/// What each of a thousand requests gets.
fn drawn(seed: u64, faults: &str) -> Vec<Result<Script, Box<Script>>> {
    let chance = Chance::new(seed, faults.parse().unwrap());
    (1..=1_000).map(|number| chance.apply(number, reply())).collect()
}

#[test]
fn requests_have_faults_in_the_share_that_was_asked_for() {
    let mut throttled = 0;
    let mut kinds = BTreeMap::new();
    for seed in 0..20 {
        for one in drawn(seed, "throttle=5%,cut=0.02,stall=1%,exception=2%") {
            match one {
                Err(refused) => {
                    assert_eq!(refused.refuse.as_ref().unwrap().status, 429);
                    throttled += 1;
                }
                Ok(script) => {
                    let exception = script.steps.iter().any(|step| matches!(step, Step::Exception { .. }));
                    let kind = script.fault.map(|fault| format!("{:?}", fault.kind));
                    *kinds
                        .entry(kind.unwrap_or(if exception { "exception".into() } else { "none".into() }))
                        .or_insert(0) += 1;
                }
            }
        }
    }
    let near = |count: i32, wanted: i32| (count - wanted).abs() < wanted / 5;
    assert!(near(throttled, 1_000), "{throttled} of 20,000 are throttled");
    assert!(near(kinds["Cut"], 400) && near(kinds["Stall"], 200) && near(kinds["exception"], 400), "{kinds:?}");
}

#[test]
fn the_seed_decides() {
    let faults = "throttle=20%,corrupt=20%";
    assert_eq!(drawn(1, faults), drawn(1, faults));
    assert_ne!(drawn(1, faults), drawn(2, faults));
    assert!(drawn(1, "cut=100%").iter().all(|one| one.as_ref().is_ok_and(|script| script.fault.is_some())));
    assert!(drawn(1, "cut=0").iter().all(|one| one.as_ref().is_ok_and(|script| script.fault.is_none())));
}

#[test]
fn the_place_of_a_fault_is_in_the_answer() {
    let frames = playback::expand(reply().steps).count();
    let mut places = std::collections::BTreeSet::new();
    for one in drawn(3, "cut=100%") {
        let Fault { at: At::Event(place), .. } = one.unwrap().fault.unwrap() else { panic!("it is placed by a byte") };
        assert!(place < frames);
        places.insert(place);
    }
    assert_eq!(places.len(), frames);
    let chance = Chance::new(1, "reset=1".parse().unwrap());
    let endless = Script::of([Step::Repeat { times: usize::MAX, steps: vec![Step::text("x")] }]);
    assert!(chance.apply(1, endless).unwrap().fault.is_some());
    assert!(chance.apply(1, Script::default()).unwrap().fault.is_none());
}

#[test]
fn a_script_keeps_its_own_fault() {
    let chance = Chance::new(1, "throttle=1".parse().unwrap());
    let own = [reply().fault(FaultKind::Cut, At::Event(1)), Script::refuse(403, "AccessDeniedException", "no")];
    for script in own {
        let applied = chance.apply(7, script.clone()).unwrap();
        assert_eq!((applied.fault, applied.refuse), (script.fault, script.refuse));
    }
}

#[test]
fn wrong_shares_are_refused_with_what_is_wrong() {
    for (text, expected) in [
        ("throttle", "is not FAULT=SHARE"),
        ("throttle=", "is not FAULT=SHARE"),
        ("explode=5%", "Faults: throttle, unavailable"),
        ("throttle=5%,", "is not FAULT=SHARE"),
        ("throttle=101%", "the share of throttle is 1.01"),
        ("throttle=-1%", "the share of throttle is -0.01"),
        ("throttle=NaN", "the share of throttle is NaN"),
        ("throttle=60%,cut=60%", "together, over 1"),
        ("cut=1%,cut=2%", "cut has two shares"),
    ] {
        let error = text.parse::<Faults>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert_eq!("throttle=5%".parse(), Faults::new([(RandomFault::Throttle, 0.05)]));
}

#[tokio::test(start_paused = true)]
async fn faults_are_set_while_it_runs() {
    let served = Served::new();
    let set = async |faults| served.control("PUT", "faults", &faults).await;
    assert_eq!(set(json!({"throttle": 0.5, "unavailable": 0.5})).await.0, 204);
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..40 {
        statuses.insert(served.operate("converse", "a.model", "", &prompt("hi", 9)).await.status().as_u16());
    }
    assert_eq!(statuses, [429, 503].into());
    // Tokens are counted without faults.
    let counted = json!({"input": {"converse": prompt("hi", 9)}});
    assert_eq!(served.operate("count-tokens", "a.model", "", &counted).await.status(), 200);
    let (_, now) = served.control("GET", "faults", &json!(null)).await;
    assert_eq!(now, json!({"seed": 0, "faults": {"throttle": 0.5, "unavailable": 0.5}}));
    for (faults, expected) in [(json!({"throttle": 2}), "is 2"), (json!({"explode": 1}), "unknown variant `explode`")] {
        let (status, answer) = set(faults).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains(expected), "{answer}");
    }
    assert_eq!(set(json!({})).await.0, 204);
    assert_eq!(served.operate("converse", "a.model", "", &prompt("hi", 9)).await.status(), 200);
}
