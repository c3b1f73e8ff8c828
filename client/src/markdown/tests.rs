//! What a terminal shows of Markdown, however it arrives.

use proptest::prelude::*;

use super::*;
use crate::terminal::is_control;

fn shown(pieces: &[&str], is_styled: bool) -> String {
    let mut bytes = Vec::new();
    let mut markdown = Markdown::new(Output::new(&mut bytes, true), Look { width: 40, is_styled });
    for piece in pieces {
        markdown.push(piece).unwrap();
    }
    markdown.finish().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn headings_lists_quotes_and_code_are_laid_out() {
    let source = "# Title\nOne *two*\nthree\n\n- a\n  - b\n- c\n\n  more\n1. x\n2. y\n\n> said\n> so\n\n```rust\nfn a() {}\n\n\tb\n```\nend";
    let plain = "# Title\n\nOne *two* three\n\n• a\n  ◦ b\n• c\n\n  more\n\n1. x\n2. y\n\n│ said so\n\n```rust\nfn a() {}\n\n\tb\n```\n\nend\n";
    assert_eq!(shown(&[source], false), plain);
}

#[test]
fn styles_are_closed_after_each_word() {
    assert_eq!(shown(&["**b** `c`\n"], true), "\u{1b}[1mb\u{1b}[0m \u{1b}[36mc\u{1b}[0m\n");
}

#[test]
fn lines_are_broken_between_words_and_begin_with_their_indent() {
    let source = "- aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd\n";
    assert_eq!(shown(&[source], false), "• aaaaaaaaaa bbbbbbbbbb cccccccccc\n  dddddddddd\n");
}

#[test]
fn a_table_is_drawn_within_the_width() {
    let source =
        "| name | text |\n|:-|-:|\n| a | 1 |\n| b | a long text that does not fit into the width of the terminal |\n";
    let drawn = shown(&[source], false);
    assert!(drawn.contains('│') && drawn.lines().all(|line| line.chars().count() <= 40), "{drawn}");
}

#[test]
fn a_word_is_shown_when_it_is_complete_and_emphasis_when_it_is_closed() {
    let mut markdown = Markdown::new(Output::new(Vec::new(), true), Look { width: 40, is_styled: false });
    let mut seen = String::new();
    for (piece, expected) in [
        ("Hel", ""),
        ("lo wor", "Hello"),
        ("ld **very ", "Hello world"),
        ("bold** t", "Hello world **very bold**"),
        ("ext\n", "Hello world **very bold** text"),
    ] {
        markdown.push(piece).unwrap();
        seen = String::from_utf8(markdown.out.written().clone()).unwrap();
        assert_eq!(seen, expected, "{piece:?}");
    }
    markdown.finish().unwrap();
    assert_eq!(String::from_utf8(markdown.out.written().clone()).unwrap(), seen + "\n");
}

#[test]
fn no_entity_and_no_text_controls_the_terminal() {
    let source = "&#27;[2J &#x9b;2J \u{1b}]0;owned\u{7} [a&#27;[2J](b&#10;&#27;c) `\u{1b}[2J`\r\n\n    \u{1b}[2J\n\n| &#27;[2J |\n|-|\n| \u{9b} |\n\n<b \u{1b}>";
    let text = shown(&[source], false);
    assert!(!text.contains(is_control), "{text:?}");
    assert!(text.contains("owned"), "{text:?}");
}

#[test]
fn long_code_is_shown_whole_and_once() {
    let lines = "let answer = 42;\n".repeat(4000);
    let source = format!("text\n\n```rust\n{lines}```\nend\n");
    let pieces: Vec<_> = source.split_inclusive(' ').collect();
    assert_eq!(shown(&pieces, false), source.replace("```\nend", "```\n\nend"));
}

#[test]
fn a_line_without_an_end_does_not_wait_without_a_limit() {
    let mut markdown = Markdown::new(Output::new(Vec::new(), true), Look { width: 40, is_styled: true });
    for _ in 0..1000 {
        markdown.push(&"x".repeat(1000)).unwrap();
        assert!(markdown.source.len() <= MAX_WAITING);
    }
    markdown.finish().unwrap();
    let text = String::from_utf8(markdown.out.written().clone()).unwrap();
    assert_eq!(text.chars().filter(|character| *character == 'x').count(), 1_000_000);
}

/// Text of the parts that Markdown is made of, hostile ones among them.
fn source() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a",
        "word ",
        "two words ",
        " ",
        "\n",
        "\n\n",
        "- ",
        "  - ",
        "1. ",
        "# ",
        "> ",
        "*",
        "**",
        "_",
        "`",
        "```",
        "```rust\n",
        "~~~\n",
        "[",
        "](b)",
        "]",
        "!",
        "<",
        "<b>",
        "|",
        "|-|\n",
        "a | b\n",
        "---\n",
        "===\n",
        "\\",
        "&#27;",
        "\u{1b}[2J",
        "\r",
        "\r\n",
        "\t",
        "中文",
        "é",
        "👩\u{200d}👩",
        "\u{202e}",
        "[1]: http://x\n",
        "    ",
        "[ ] ",
        "0",
    ]);
    prop::collection::vec(parts, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_does_not_depend_on_how_the_text_is_cut(source in source(), seed in any::<u64>()) {
        let whole = shown(&[&source], false);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pieces = vec![String::new()];
        for character in source.chars() {
            if random.u8(0..3) == 0 {
                pieces.push(String::new());
            }
            pieces.last_mut().unwrap().push(character);
        }
        let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(shown(&pieces, false), whole, "{:?}", pieces);
    }

    #[test]
    fn no_control_character_is_shown(source in source(), is_styled in any::<bool>()) {
        let text = shown(&[&source], is_styled);
        let unstyled = if is_styled { anstream::adapter::strip_str(&text).to_string() } else { text };
        prop_assert!(!unstyled.contains(is_control), "{:?}", unstyled);
    }
}
