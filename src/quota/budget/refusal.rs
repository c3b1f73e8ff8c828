//! The error of a call that its caller has no budget for.

use std::time::{Duration, SystemTime};

use super::account::{Amount, Unit, Which};
use crate::{
    error::{Error, Quota, Reason},
    quota::budget::period::Kind,
};

/// When other servers can have given back what they hold of a budget.
const OTHERS: Duration = Duration::from_secs(1);

/// A budget without room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) which: Which,
    pub(super) capacity: u64,
    /// What calls that have ended have spent, at all servers.
    pub(super) spent: u64,
    /// What running calls of this server have reserved.
    pub(super) reserved: u64,
    /// Whether the budget has room, which other servers hold.
    pub(super) is_held_elsewhere: bool,
    /// The first moment of the next period.
    pub(super) resets_at: SystemTime,
}

impl Refusal {
    /// The error of a call that would reserve `asked`, of which `input` is the estimated input.
    pub(super) fn error(self, caller: &str, asked: Amount, input: Amount, now: SystemTime) -> Error {
        let Self { which, capacity, spent, reserved, is_held_elsewhere, resets_at } = self;
        let words = |amount| words(which.unit, amount);
        let (subject, period) = (format!("caller:{caller}"), period(which.kind));
        let description = format!("{subject} can use {} a {period} (budget.{})", words(capacity), key(which));
        let quota = Quota { subject, description: description.clone() };
        let used =
            format!("{description}: {} are used and {} reserved by running calls", words(spent), words(reserved));
        let reserves = format!(
            "This request reserves {}, of which {} are its input",
            words(asked.of(which.unit)),
            words(input.of(which.unit))
        );
        let error = |advice: String| {
            Error::new(Reason::BudgetExhausted, format!("{used}. {reserves}: {advice}")).with_quota(quota)
        };
        if asked.of(which.unit) > capacity {
            return error(format!("more than the whole budget of the {period}. Set a lower max_tokens, or shorten it"));
        }
        if is_held_elsewhere {
            let advice = "other servers hold the remaining budget. Set a lower max_tokens, or try again";
            return error(advice.to_owned()).with_reset_in(OTHERS);
        }
        let at = humantime::format_rfc3339_seconds(resets_at);
        let advice = format!("set a lower max_tokens, or try again when the next {period} begins, at {at}");
        error(advice).with_reset_in(resets_at.duration_since(now).unwrap_or_default())
    }
}

/// The error of a caller whose budget is in money, and who calls a model without a price.
pub(super) fn without_price(caller: &str, model: &str) -> Error {
    let message = format!(
        "caller:{caller} has a budget in money, and this server has no price of {model}. Use another model; the operator can add [price.{model:?}]"
    );
    Error::new(Reason::BudgetExhausted, message)
}

/// The key of a budget in the configuration.
pub(super) fn key(Which { kind, unit }: Which) -> &'static str {
    match (unit, kind) {
        (Unit::Tokens, Kind::Day) => "tokens_per_day",
        (Unit::Tokens, Kind::Month) => "tokens_per_month",
        (Unit::Micros, Kind::Day) => "cost_per_day",
        (Unit::Micros, Kind::Month) => "cost_per_month",
    }
}

fn period(kind: Kind) -> &'static str {
    match kind {
        Kind::Day => "day",
        Kind::Month => "month",
    }
}

/// `1200 tokens`, or `0.25` in the currency of the prices.
fn words(unit: Unit, amount: u64) -> String {
    match unit {
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Micros => {
            let (whole, millionths) = (amount / 1_000_000, amount % 1_000_000);
            let text = format!("{whole}.{millionths:06}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_in_the_configuration() {
        for (micros, written) in
            [(0, "0"), (250_000, "0.25"), (1, "0.000001"), (12_000_000, "12"), (10_500_000, "10.5")]
        {
            assert_eq!(words(Unit::Micros, micros), written);
        }
        assert_eq!(words(Unit::Tokens, 1_200), "1200 tokens");
    }
}
