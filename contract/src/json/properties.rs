//! JSON of any kind comes back from protobuf as it was, and can be decoded.

use proptest::prelude::*;
use prost::Message;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-9_007_199_254_740_993_i64..=9_007_199_254_740_993).prop_map(Value::from),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        number
    ];
    let nested = leaf.prop_recursive(6, 48, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    // Some of it in the middle of more levels than are allowed.
    (nested, prop::collection::vec(any::<bool>(), 0..40), any::<bool>()).prop_map(|(inner, around, deep)| {
        let around = if deep { around } else { Vec::new() };
        around.into_iter().fold(inner, |inner, list| {
            if list { Value::from(vec![inner]) } else { Value::Object(Map::from_iter([("a".to_owned(), inner)])) }
        })
    })
}

/// Whether two values are the same, with numbers as doubles, and with JSON text below the deepest level that is allowed.
fn same(before: &Value, after: &Value, levels: usize) -> bool {
    match (before, after) {
        (Value::Number(before), Value::Number(after)) => {
            let exact = before.as_i64().is_some_and(|whole| whole.unsigned_abs() <= 1 << 53);
            // Whole numbers stay whole.
            before.as_f64() == after.as_f64() && (!exact || before.as_i64() == after.as_i64())
        }
        (Value::Array(_) | Value::Object(_), Value::String(text)) => {
            levels == 0 && serde_json::to_string(before).is_ok_and(|before| before == *text)
        }
        (Value::Array(before), Value::Array(after)) => {
            levels > 0 && before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same(a, b, levels - 1))
        }
        (Value::Object(before), Value::Object(after)) => {
            let member = |(name, value): (&String, &Value)| after.get(name).is_some_and(|b| same(value, b, levels - 1));
            levels > 0 && before.len() == after.len() && before.iter().all(member)
        }
        _ => before == after,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_comes_back_and_can_be_decoded(json in any_json()) {
        let value = to_value(json.clone());
        prop_assert!(nesting(&value) <= MAX_NESTING);
        let decoded = ProtoValue::decode(value.encode_to_vec().as_slice());
        prop_assert_eq!(decoded.as_ref(), Ok(&value));
        let back = from_value(&value);
        prop_assert!(same(&json, &back, MAX_NESTING), "{json} became {back}");
        prop_assert_eq!(to_value(back), value);
    }

    #[test]
    fn any_text_is_json_for_both_or_for_neither(text in r#"[\[\]{}",:0-9eE+.\-nul truefas\\]{0,24}"#) {
        let direct = serde_json::from_str::<Value>(&text);
        let parsed = parse(&text);
        prop_assert_eq!(direct.is_ok(), parsed.is_ok());
        if let (Ok(direct), Ok(parsed)) = (direct, parsed) {
            prop_assert!(same(&direct, &from_value(&parsed), MAX_NESTING));
        }
    }
}
