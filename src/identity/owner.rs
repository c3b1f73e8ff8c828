//! The name of an identity in the stores of conversations. It is a hash, so that a store tells nothing about who calls, and so that no name of
//! a tenant or a subject can be written to be another's.

use crate::digest::{hexadecimal, sha256_of_parts};

/// The owner of conversations on a server without callers.
pub(super) const UNOWNED: &str = "";

/// The hexadecimal digits of the hash that are used: 160 bits.
const DIGITS: usize = 40;

/// The owner of a caller's conversations. Its keys and certificates can change. No issuer of tokens has an empty name.
pub(super) fn of_caller(tenant: &str, name: &str) -> String {
    of(tenant, "", name)
}

/// The owner of the conversations of one subject of a token issuer.
pub(super) fn of(tenant: &str, authority: &str, subject: &str) -> String {
    let hash = sha256_of_parts(["outcrop owner 1", tenant, authority, subject].map(str::as_bytes));
    hexadecimal(&hash)[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tenant_authority_and_subject_is_another_owner() {
        let parts = ["", "a", "b", "ab", "a\0", "caller", "https://issuer", "outcrop owner 1"];
        let mut owners = BTreeSet::new();
        for tenant in parts {
            for authority in parts {
                owners.extend(parts.iter().map(|subject| of(tenant, authority, subject)));
            }
        }
        assert_eq!(owners.len(), parts.len().pow(3));
        assert!(owners.iter().all(|owner| owner.len() == DIGITS && owner != UNOWNED));
    }
}
