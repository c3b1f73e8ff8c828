//! How much of a text can be parsed: complete lines, and of the last line the words that are complete, once they show what the line is.

/// The length of the text that can be parsed. What follows it can be a part of a mark, of a word or of the head of a table.
pub(super) fn cut(source: &str) -> usize {
    let mut end = end_of_words(source);
    // A backslash at the end of a line is a line break if the paragraph goes on.
    while let Some(line) = source[..end].strip_suffix("\\\n") {
        end = line.rfind('\n').map_or(0, |at| at + 1);
    }
    end
}

fn end_of_words(source: &str) -> usize {
    let start = source.rfind('\n').map_or(0, |at| at + 1);
    let line = &source[start..];
    // A head is a line with `|` above a line of `|`, `-` and `:`.
    if is_delimiter_row(line) {
        let rows = source[..start].split_inclusive('\n').rev().take_while(|row| row.contains('|'));
        let length: usize = rows.map(str::len).sum();
        if length > 0 {
            return start - length;
        }
    }
    if line.contains('|') || is_marks(line) {
        return start;
    }
    let content = line.len() - without_marks(line).len();
    let text = &line[content..];
    if text.starts_with('<') || text.starts_with("```") || text.starts_with("~~~") {
        return start;
    }
    let mut ends = text.char_indices().filter(|(_, character)| character.is_whitespace() || is_wide(*character));
    match ends.next_back() {
        // The words before the last one must show what the line is.
        Some((at, last)) if !is_marks(&line[..content + at]) => start + content + at + last.len_utf8(),
        _ => start,
    }
}

/// Whether a line can still become the row below the head of a table.
fn is_delimiter_row(line: &str) -> bool {
    line.chars().all(|character| matches!(character, '|' | '-' | ':' | '>' | ' ' | '\t'))
}

/// Where the last line begins if it is complete, and looks like the row below the head of a table, but the line above it does not begin with
/// `|`.
pub(super) fn unexpected_delimiter_row(source: &str) -> Option<usize> {
    let source = source.strip_suffix('\n')?;
    let (above, line) = source.rsplit_once('\n')?;
    let head = without_marks(above.rsplit_once('\n').map_or(above, |(_, head)| head));
    let is_unexpected = line.contains(['|', ':']) && is_delimiter_row(line) && !head.starts_with('|');
    is_unexpected.then(|| source.len() - line.trim_start_matches(['>', ' ', '\t']).len())
}

/// Whether a line has only characters of marks of blocks so far, and can become a rule, an underline, a heading or an item.
fn is_marks(line: &str) -> bool {
    let is_mark = |character: char| character.is_ascii_digit() || " \t>*-_=+#`~.)[]xX".contains(character);
    line.chars().all(is_mark)
}

/// The line without the marks of quotes, items and headings that it begins with.
fn without_marks(mut line: &str) -> &str {
    loop {
        line = line.trim_start_matches([' ', '\t']);
        let marked = line.trim_start_matches(|character: char| character.is_ascii_digit());
        let digits = line.len() - marked.len();
        let number = marked.strip_prefix(['.', ')']).filter(|_| (1..10).contains(&digits));
        let heading = Some(line.trim_start_matches('#')).filter(|rest| rest.len() < line.len());
        let task = ["[ ]", "[x]", "[X]"].iter().find_map(|mark| line.strip_prefix(mark));
        let mark = line.strip_prefix(['-', '*', '+']).or(number).or(heading).or(task);
        let next = line.strip_prefix('>').or_else(|| mark.filter(|rest| rest.starts_with([' ', '\t'])));
        match next {
            Some(rest) => line = rest,
            None => return line,
        }
    }
}

/// Whether a line can be broken after a character: those of Chinese and Japanese and the syllables of Korean.
pub(super) fn is_wide(character: char) -> bool {
    matches!(character, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{ff01}'..='\u{ff60}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_after_a_word_once_the_line_shows_what_it_is() {
        for (source, parsed) in [
            ("Hello wor", "Hello "),
            ("Hello", ""),
            ("a\n- ", "a\n"),
            ("a\n- item on", "a\n- item "),
            ("a\n1. one t", "a\n1. one "),
            ("12 of t", "12 of "),
            ("a\n--", "a\n"),
            ("```ru", ""),
            ("```rust\nlet", "```rust\n"),
            ("<di v", ""),
            ("## Title of", "## Title "),
            ("text\na | b", "text\n"),
            ("text\na | b\n", "text\n"),
            ("text\na | b\n|-", "text\n"),
            ("text\na | b\nc d", "text\na | b\nc "),
            ("one\\\n", ""),
            ("a\none\\\ntwo\\\n", "a\n"),
            ("中文", "中文"),
        ] {
            assert_eq!(&source[..cut(source)], parsed, "{source:?}");
        }
    }
}
