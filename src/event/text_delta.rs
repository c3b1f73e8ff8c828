//! The most frequent event, a delta of text, read without a copy of its JSON.
//!
//! It recognises the members that Bedrock writes, and no others: anything else is for [`super::content`], which loses no member.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

use super::members::is_padding;

/// A delta of text.
pub(super) struct TextDelta {
    /// Bedrock's index of the block.
    pub(super) index: Option<i32>,
    pub(super) text: String,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    ContentBlockIndex,
    Delta,
    P,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum DeltaMember {
    Text,
}

/// The member `delta`.
struct Text(String);

/// Bedrock's padding.
#[derive(Deserialize)]
struct Padding<'a>(#[serde(borrow)] Cow<'a, str>);

impl TextDelta {
    /// Reads the payload of a `contentBlockDelta`. `None` if it is or has anything else.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

/// The visitors take objects alone: those that are derived would take arrays too.
impl<'de> Deserialize<'de> for TextDelta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Event;

        impl<'de> Visitor<'de> for Event {
            type Value = TextDelta;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a delta of text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<TextDelta, A::Error> {
                let (mut index, mut text, mut is_padded) = (None, None, false);
                while let Some(member) = members.next_key()? {
                    match member {
                        Member::ContentBlockIndex if index.is_none() => index = Some(members.next_value::<i32>()?),
                        Member::Delta if text.is_none() => text = Some(members.next_value::<Text>()?),
                        Member::P if !is_padded && is_padding(&members.next_value::<Padding<'_>>()?.0) => {
                            is_padded = true;
                        }
                        _ => return Err(A::Error::custom("another member")),
                    }
                }
                let Text(text) = text.ok_or_else(|| A::Error::missing_field("delta"))?;
                Ok(TextDelta { index, text })
            }
        }

        deserializer.deserialize_map(Event)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Delta;

        impl<'de> Visitor<'de> for Delta {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Text, A::Error> {
                let Some(DeltaMember::Text) = members.next_key()? else {
                    return Err(A::Error::missing_field("text"));
                };
                let text = members.next_value()?;
                match members.next_key::<DeltaMember>()? {
                    None => Ok(Text(text)),
                    Some(DeltaMember::Text) => Err(A::Error::duplicate_field("text")),
                }
            }
        }

        deserializer.deserialize_map(Delta)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::super::{EventMapper, parse};
    use crate::proto::{Chunk, Start};

    const DELTA: &str = "contentBlockDelta";

    /// A member as text, right or wrong.
    fn any_member() -> impl Strategy<Value = String> {
        const NAMES: &[&str] =
            &["contentBlockIndex", "delta", "p", "text", "other", "\\u0070", "content\\u0042lockIndex"];
        const VALUES: &[&str] = &[
            "0",
            "7",
            "-1",
            "1.0",
            "2.5",
            "3e9",
            "null",
            "true",
            r#""abc""#,
            r#""acb""#,
            r#""""#,
            "{}",
            "[]",
            r#"["x"]"#,
            r#"{"text":"x"}"#,
            r#"{"text":"a\n\u00e9\ud83d\ude00"}"#,
            r#"{"text":null}"#,
            r#"{"text":"x","more":1}"#,
            r#"{"text":"x","text":"y"}"#,
            r#"{"toolUse":{"input":"{"}}"#,
            r#"{"t\u0065xt":"x"}"#,
            r#"{"text":"\ud800"}"#,
        ];
        (prop::sample::select(NAMES), prop::sample::select(VALUES))
            .prop_map(|(name, value)| format!(r#""{name}":{value}"#))
    }

    fn any_payload() -> impl Strategy<Value = String> {
        let members =
            prop::collection::vec(any_member(), 0..4).prop_map(|members| format!("{{{}}}", members.join(",")));
        let usual = (0..3_i32, ".{0,8}", prop::sample::select(vec!["", "a", "abcdef", "zyx"])).prop_map(
            |(index, text, padding)| {
                serde_json::json!({"contentBlockIndex": index, "delta": {"text": text}, "p": padding}).to_string()
            },
        );
        let odd = prop::sample::select(vec![
            "[0,[\"x\"],\"a\"]",
            "",
            "{",
            "null",
            "\"x\"",
            " {\"delta\" : {\"text\":\"x\"} } ",
        ]);
        prop_oneof![members, usual, odd.prop_map(str::to_owned)]
    }

    fn chunks(map: impl FnOnce(&mut EventMapper, &mut VecDeque<Chunk>)) -> VecDeque<Chunk> {
        let (mut mapper, mut ready) = (EventMapper::new(Start::default()), VecDeque::new());
        map(&mut mapper, &mut ready);
        ready
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn what_is_recognised_becomes_the_chunk_that_it_would_become_otherwise(payload in any_payload()) {
            let mut is_recognised = false;
            let quick = chunks(|mapper, ready| is_recognised = mapper.accept_text(DELTA, payload.as_bytes(), ready));
            let parsed = parse(DELTA, payload.as_bytes());
            if is_recognised {
                let parsed = parsed.expect("an object");
                prop_assert_eq!(quick, chunks(|mapper, ready| mapper.accept(DELTA, parsed, ready)));
            } else {
                prop_assert!(quick.is_empty());
            }
        }
    }

    #[test]
    fn the_deltas_of_bedrock_are_recognised_and_those_of_other_content_are_not() {
        for (payload, expected) in [
            (r#"{"contentBlockIndex":0,"delta":{"text":"Hello"},"p":"abcdefghij"}"#, true),
            (r#"{"delta":{"text":"Hello"},"contentBlockIndex":12}"#, true),
            (r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{"}},"p":"ab"}"#, false),
            (r#"{"contentBlockIndex":0,"delta":{"text":"Hello"},"new":1}"#, false),
            (r#"{"contentBlockIndex":0,"delta":{"text":"Hello","new":1}}"#, false),
        ] {
            let mut is_recognised = false;
            chunks(|mapper, ready| is_recognised = mapper.accept_text(DELTA, payload.as_bytes(), ready));
            assert_eq!(is_recognised, expected, "{payload}");
        }
        assert!(
            chunks(|mapper, ready| {
                assert!(!mapper.accept_text("another", br#"{"delta":{"text":"Hello"}}"#, ready));
            })
            .is_empty()
        );
    }
}
