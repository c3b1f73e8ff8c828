//! What changes while the server runs: the callers.

use tracing::info;

use crate::{
    identity::{directory::Directory, settings::IdentitySettings},
    response::registry::CallRegistry,
};

/// Applies new settings to a running server. Clones do the same.
#[derive(Clone, Debug)]
pub struct Reload {
    pub(super) directory: Directory,
    pub(super) registry: CallRegistry,
}

impl Reload {
    /// Replaces all callers at once. Streams of callers, keys and certificates that are removed or disabled end with `CREDENTIALS_REVOKED`.
    ///
    /// # Errors
    /// What is wrong with the issuers of tokens. Then nothing changes.
    pub fn replace_callers(&self, settings: &IdentitySettings) -> Result<(), Vec<String>> {
        self.directory.replace(settings)?;
        // A stream that is registered after this looks into the new directory itself.
        self.registry.end_where(|identity| self.directory.has_revoked(identity), Directory::revocation);
        info!(callers = settings.callers.len(), "the callers are replaced");
        Ok(())
    }
}
