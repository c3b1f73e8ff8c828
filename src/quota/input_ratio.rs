//! How many input tokens a model counts for each that is estimated, as its answers have shown. Estimates by bytes are far off for code, JSON
//! and languages with other letters, and differ from one tokenizer to the next.

/// A ratio of one, in thousandths.
const ONE: u64 = 1_000;

/// The bounds of the ratio: what is beyond them says something else than how text becomes tokens.
const BOUNDS: (u64, u64) = (ONE / 4, 4 * ONE);

/// The smallest estimate that is learned from. Smaller requests have mostly the tokens of their frame.
const SMALLEST: u64 = 64;

/// The weight of the newest answer is one part of this number.
const MEMORY: u64 = 16;

/// The ratio of counted to estimated input tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputRatio {
    thousandths: u64,
}

impl Default for InputRatio {
    fn default() -> Self {
        Self { thousandths: ONE }
    }
}

impl InputRatio {
    /// What the model will count for this estimate.
    pub(super) fn of(self, estimated: u64) -> u64 {
        estimated.saturating_mul(self.thousandths).div_ceil(ONE)
    }

    /// Learns what the model has counted for this estimate.
    pub(super) fn learn(&mut self, estimated: u64, counted: u64) {
        if estimated < SMALLEST {
            return;
        }
        let (least, most) = BOUNDS;
        let seen = (counted.saturating_mul(ONE) / estimated).clamp(least, most);
        self.thousandths = (self.thousandths * (MEMORY - 1) + seen) / MEMORY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_show_how_many_tokens_a_model_counts() {
        let mut ratio = InputRatio::default();
        assert_eq!(ratio.of(1_000), 1_000);
        (0..200).for_each(|_| ratio.learn(1_000, 1_800));
        assert!(ratio.of(1_000).abs_diff(1_800) <= 20, "{ratio:?}");
        ratio.learn(10, 10_000);
        assert!(ratio.of(1_000).abs_diff(1_800) <= 20, "a small request says little: {ratio:?}");
        (0..200).for_each(|_| ratio.learn(1_000, u64::MAX));
        assert!(ratio.of(1_000) <= 4_000, "{ratio:?}");
    }
}
