//! Marks in a text that are shown as they are so far, and can still open something: emphasis, code, a link, HTML.

/// The first mark in `source` from `from` to `to` that can open something that is not closed yet.
pub(super) fn first_opening(source: &str, from: usize, to: usize) -> Option<usize> {
    let text = &source[from..to];
    let marks = text.char_indices().filter(|(_, character)| matches!(character, '*' | '_' | '`' | '[' | '<'));
    let (at, mark) = marks.map(|(at, mark)| (from + at, mark)).find(|(at, mark)| can_open(source, *at, *mark))?;
    // An image begins with `![`.
    let is_image = mark == '[' && source[..at].ends_with('!');
    Some(if is_image { at - 1 } else { at })
}

fn can_open(source: &str, at: usize, mark: char) -> bool {
    let (before, after) = (&source[..at], &source[at + mark.len_utf8()..]);
    let escapes = before.len() - before.trim_end_matches('\\').len();
    if escapes % 2 == 1 {
        return false;
    }
    let next = after.trim_start_matches(mark).chars().next();
    match mark {
        '*' => !next.is_none_or(char::is_whitespace),
        '_' => {
            let is_in_word = before.trim_end_matches('_').chars().next_back().is_some_and(char::is_alphanumeric);
            !is_in_word && !next.is_none_or(char::is_whitespace)
        }
        '`' => true,
        '<' => after.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '!' | '?')),
        _ => !is_plain_bracket(after),
    }
}

/// Whether a bracket is closed, and no link can follow.
fn is_plain_bracket(after: &str) -> bool {
    let mut depth = 0_usize;
    let mut is_escaped = false;
    for (at, character) in after.char_indices() {
        if is_escaped || character == '\\' {
            is_escaped = !is_escaped;
            continue;
        }
        match character {
            '[' => depth += 1,
            // Code or HTML can begin here and have the bracket that closes.
            '`' | '<' => return false,
            ']' if depth == 0 => {
                return after[at + 1..].chars().next().is_some_and(|next| !matches!(next, '(' | '['));
            }
            ']' => depth -= 1,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mark_that_can_open_something_holds_a_text() {
        for (source, at) in [
            ("2 * 3 ", None),
            ("a **b ", Some(2)),
            ("snake_case ", None),
            ("an _open ", Some(3)),
            (r"an \*escaped ", None),
            ("code `x ", Some(5)),
            ("see [1] there ", None),
            ("see [a link ", Some(4)),
            ("see [a](", Some(4)),
            ("see ![an image ", Some(4)),
            ("1 < 2 ", None),
            ("a <b ", Some(2)),
        ] {
            assert_eq!(first_opening(source, 0, source.len()), at, "{source:?}");
        }
    }
}
