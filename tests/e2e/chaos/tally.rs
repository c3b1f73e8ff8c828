//! What the floods were answered.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;

use super::Scale;

/// By flood, the answers by their reason.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<&'static str, BTreeMap<String, u64>>>);

impl Tally {
    pub(super) fn add(&self, flood: &'static str, answer: &str) {
        *self.0.lock().entry(flood).or_default().entry(answer.to_owned()).or_default() += 1;
    }

    fn of(&self, flood: &str, answer: &str) -> u64 {
        self.0.lock().get(flood).and_then(|answers| answers.get(answer)).copied().unwrap_or_default()
    }

    fn all(&self, flood: &str) -> u64 {
        self.0.lock().get(flood).map(|answers| answers.values().sum()).unwrap_or_default()
    }

    /// Each gate has refused what was too much of what came to it, and let through what was not.
    pub(super) fn check(&self, scale: Scale) {
        for (flood, answer) in [
            ("Generate", "OK"),
            ("CountTokens", "OK"),
            ("CreateConversation", "OK"),
            ("CreateConversation", "LOCAL_LIMIT: conversations"),
            ("ListModels", "OK"),
            ("Health/Check", "OK"),
            ("reflection", "OK"),
            ("withheld", "LOCAL_LIMIT: memory"),
            ("withheld", "BODY_TIMEOUT"),
            ("half a Health/Check", "BODY_TIMEOUT"),
            ("rebinding page", "ORIGIN_NOT_ALLOWED"),
            ("silent", "closed"),
            ("reset", "closed"),
        ] {
            assert!(self.of(flood, answer) > 0, "no {flood} ended with {answer}:\n{self}");
        }
        assert_eq!(self.all("CreateConversation"), scale.creates);
        // A slow machine sends the few creates of the short form within the rate.
        if scale.creates == Scale::LONG.creates {
            assert!(self.of("CreateConversation", "LOCAL_LIMIT: requests") > 0, "{self}");
        }
        // The first conversation is that of the caller who behaves.
        let most: u64 = super::CONVERSATIONS.parse().unwrap();
        assert_eq!(self.of("CreateConversation", "OK"), most - 1, "{self}");
        assert_eq!(self.of("rebinding page", "ORIGIN_NOT_ALLOWED"), self.all("rebinding page"), "{self}");
        assert_eq!(self.of("withheld", "OK"), 0, "{self}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flood, answers) in &*self.0.lock() {
            let answers: Vec<_> = answers.iter().map(|(answer, number)| format!("{answer} {number}")).collect();
            writeln!(f, "  {flood}: {}", answers.join(", "))?;
        }
        Ok(())
    }
}
