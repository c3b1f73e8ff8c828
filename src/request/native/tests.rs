//! Tests of what the native operation takes, against its documentation.

use super::*;

#[test]
fn the_documentation_has_the_same_table() {
    let document = include_str!("../../../docs/native.md");
    let yes = |row: &FamilyFeatures, feature| if row.features.contains(&feature) { "yes" } else { "no" };
    for row in FEATURES {
        let operation = if row.family.has_converse_stream() { "Converse" } else { "native" };
        let cells = [
            Feature::System,
            Feature::TopP,
            Feature::StopSequences,
            Feature::Tools,
            Feature::Images,
            Feature::Documents,
            Feature::Reasoning,
            Feature::CachePoints,
        ]
        .map(|feature| yes(&row, feature));
        let line = format!("| `{}` | {operation} | {} | {} |", row.family.name(), cells.join(" | "), row.usage);
        assert!(document.contains(&line), "docs/native.md lacks this line:\n{line}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 12).count();
    assert_eq!(rows, FEATURES.len(), "docs/native.md has rows that the code has not");
}
