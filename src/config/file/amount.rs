//! Amounts of money and numbers with a range. Prices are read digit by digit, because a binary fraction cannot hold most decimals exactly.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::section::{Section, shown};

/// The decimals of an amount.
const DECIMALS: usize = 6;

/// The millionths in one.
const MILLION: u64 = 1_000_000;

/// Reads a whole number in this range.
pub(super) fn whole(section: &mut Section<'_>, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let value = section.value(key)?;
    let number = value.as_integer().and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
    let refused = || {
        let (least, most) = range.clone().into_inner();
        format!("is {}; it must be a whole number from {least} to {most}", shown(value))
    };
    section.checked(key, number.filter(|number| range.contains(number)).ok_or_else(refused))
}

/// Reads a number with at most six decimals, exactly, as millionths. `most` is in whole units.
pub(super) fn millionths(section: &mut Section<'_>, key: &str, most: u64, zero: Zero) -> Option<u64> {
    let value = section.value(key)?;
    let checked = read(value).and_then(|amount| match amount {
        0 if zero == Zero::Refused => Err("is 0; it must be more than 0. Leave it out for no limit".to_owned()),
        amount if amount > most * MILLION => Err(format!("is {}; it must be at most {most}", shown(value))),
        amount => Ok(amount),
    });
    section.checked(key, checked)
}

/// Whether an amount can be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    /// It can.
    Allowed,
    /// It cannot.
    Refused,
}

fn read(value: &DeValue<'_>) -> Result<u64, String> {
    let wanted = "it must be a number of at least 0 with at most 6 decimals, such as 3 or 0.075";
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return Err(format!("is {}; {wanted}", shown(value))),
    };
    let (whole, fraction) = text.trim_start_matches('+').split_once('.').unwrap_or((text.trim_start_matches('+'), ""));
    let are_digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return Err(format!("is {text}; {wanted}"));
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > DECIMALS {
        return Err(format!("is {text}, which has more than 6 decimals. Round it"));
    }
    // A number with too many digits is more than every bound.
    let parsed = format!("{whole}{fraction:0<DECIMALS$}").parse();
    Ok(parsed.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    fn of(text: &str, most: u64, zero: Zero) -> Result<u64, String> {
        let text = format!("a = {text}");
        let table = DeTable::parse(&text).unwrap();
        let mut section = Section::root(table.get_ref());
        let read = millionths(&mut section, "a", most, zero);
        read.ok_or_else(|| section.finish().remove(0).text)
    }

    #[test]
    fn a_decimal_is_read_exactly() {
        for (text, millionths) in [
            ("3", 3_000_000),
            ("0", 0),
            ("+0.1", 100_000),
            ("0.075", 75_000),
            ("0.000001", 1),
            ("1_000.50", 1_000_500_000),
            ("0.10000000000", 100_000),
            ("999999.999999", 999_999_999_999),
            ("4.35", 4_350_000),
            ("1.005", 1_005_000),
        ] {
            assert_eq!(of(text, 1_000_000, Zero::Allowed), Ok(millionths), "{text}");
        }
    }

    #[test]
    fn an_amount_that_is_not_exact_or_out_of_range_is_refused() {
        for (text, said) in [
            ("-0.1", "is -0.1; it must be a number of at least 0"),
            ("-3", "is -3; it must be a number of at least 0"),
            ("0.0000001", "is 0.0000001, which has more than 6 decimals"),
            ("1e3", "is 1e3; it must be a number"),
            ("nan", "is nan; it must be a number"),
            ("inf", "is inf; it must be a number"),
            ("0x10", "is 0x10; it must be a number"),
            ("\"3\"", "is \"3\"; it must be a number"),
            ("true", "is true; it must be a number"),
            ("11", "is 11; it must be at most 10"),
            ("10.000001", "is a number; it must be at most 10"),
            ("99999999999999999999999999999999.5", "it must be at most 10"),
            ("0", "is 0; it must be more than 0"),
            ("0.0", "is 0; it must be more than 0"),
        ] {
            let problem = of(text, 10, Zero::Refused).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }

    #[test]
    fn a_whole_number_is_in_its_range() {
        for (text, read) in [("1", Some(1)), ("0x0a", Some(10)), ("0", None), ("11", None), ("-1", None), ("1.5", None)]
        {
            let text = format!("a = {text}");
            let table = DeTable::parse(&text).unwrap();
            let mut section = Section::root(table.get_ref());
            assert_eq!(whole(&mut section, "a", 1..=10), read, "{text}");
            let problems = section.finish();
            assert_eq!(problems.len(), usize::from(read.is_none()), "{problems:?}");
            assert!(problems.iter().all(|problem| problem.text.contains("it must be a whole number from 1 to 10")));
        }
    }
}
