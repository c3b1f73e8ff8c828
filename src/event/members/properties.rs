//! Whatever is asked of an object, each of its values is taken once or left.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Text,
    Int32,
    Bool,
    Json,
    Map,
    Object,
    List,
    Decoded,
}

fn any_ask() -> impl Strategy<Value = (Ask, &'static str)> {
    use Ask::{Bool, Decoded, Int32, Json, List, Map, Object, Text};
    let ask = prop::sample::select(vec![Text, Int32, Bool, Json, Map, Object, List, Decoded]);
    (ask, prop::sample::select(vec!["a", "b", "c"]))
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!("")), Just(json!(0)), Just(json!(1.5)), Just(json!(true)), Just(json!(null))];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let members = prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), inner.clone(), 0..4);
        let object = members.prop_map(|members| json!(members));
        prop_oneof![
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
            prop::collection::vec(object.clone(), 0..3).prop_map(Value::from),
            object,
        ]
    })
}

/// The strings and whole numbers in a value.
fn leaves(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(members) => members.values().for_each(|member| leaves(member, found)),
        Value::String(_) => found.push(value.clone()),
        Value::Number(number) if number.is_i64() => found.push(value.clone()),
        _ => {}
    }
}

/// Makes every string and whole number another.
fn number(value: &mut Value, next: &mut i32) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| number(item, next)),
        Value::Object(members) => members.values_mut().for_each(|member| number(member, next)),
        Value::String(_) => *value = next.to_string().into(),
        Value::Number(whole) if whole.is_i64() => *value = (*next).into(),
        _ => return,
    }
    *next += 1;
}

/// Asks these in turn; objects and lists are asked the rest of them.
fn take(members: &mut Members, asks: &[(Ask, &str)], taken: &mut Vec<Value>) {
    let Some(((ask, name), rest)) = asks.split_first() else { return };
    match ask {
        Ask::Text => taken.extend(members.text(name).map(Value::from)),
        Ask::Int32 => taken.extend(members.int32(name).map(Value::from)),
        Ask::Bool => drop(members.bool(name)),
        Ask::Json => taken.extend(members.json(name)),
        Ask::Map => taken.extend(members.map(name).map(Value::Object)),
        Ask::Decoded => taken.extend(members.decoded(name, |text| text.ends_with('1').then(|| Value::from(text)))),
        Ask::Object => {
            members.object(name, |inner| {
                take(inner, rest, taken);
                Some(())
            });
        }
        Ask::List => {
            members.list(name, |inner| take(inner, rest, taken));
        }
    }
    take(members, rest, taken);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_taken_once_or_left(
        mut whole in prop::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), any_json(), 0..4)
            .prop_map(|members| json!(members)),
        asks in prop::collection::vec(any_ask(), 0..6),
    ) {
        number(&mut whole, &mut 1);
        let mut before = Vec::new();
        leaves(&whole, &mut before);
        let Value::Object(members) = whole.clone() else { unreachable!() };
        let (mut members, mut taken, mut after) = (Members::of_chunk(members), Vec::new(), Vec::new());
        take(&mut members, &asks, &mut taken);
        for value in &taken {
            leaves(value, &mut after);
        }
        leaves(&Value::Object(members.into_rest()), &mut after);
        before.sort_by_key(Value::to_string);
        after.sort_by_key(Value::to_string);
        prop_assert_eq!(before, after);
    }
}
