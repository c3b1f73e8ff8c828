//! What callers have spent of their budgets is kept in the file of conversations, so that it survives a restart.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::time::sleep;
use tracing::{info, warn};

use super::{Conversations, settings::OpenError, store::Store};
use crate::quota::budget::Budgets;

/// The interval in which it is written, if there is something new.
const SAVE: Duration = Duration::from_secs(1);

impl Conversations {
    /// Gives the budgets what was kept when the server ended. Nothing without a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn restore(&self, budgets: &Budgets) -> Result<(), OpenError> {
        if let Some(store) = self.budget_store() {
            let saved = store.budgets().await.map_err(|error| {
                OpenError::of_file(format!("what callers have spent of their budgets cannot be read: {error}"))
            })?;
            budgets.restore(saved);
        }
        Ok(())
    }

    /// Keeps what callers have spent, while it is polled.
    pub(crate) async fn keep(&self, budgets: &Budgets) {
        let Some(store) = self.budget_store() else { return pending().await };
        let mut is_kept = true;
        loop {
            sleep(SAVE).await;
            save(store.as_ref(), budgets, &mut is_kept).await;
        }
    }

    /// Keeps what callers have spent until now. Call it when no call is running.
    pub(crate) async fn keep_last(&self, budgets: &Budgets) {
        if let Some(store) = self.budget_store() {
            save(store.as_ref(), budgets, &mut true).await;
        }
    }

    fn budget_store(&self) -> Option<&Arc<dyn Store>> {
        self.store.as_ref().filter(|_| self.keeps_budgets)
    }
}

/// Writes what has changed. The log says once when that fails, and once when it succeeds again.
async fn save(store: &dyn Store, budgets: &Budgets, is_kept: &mut bool) {
    if !budgets.has_changed() {
        return;
    }
    match store.save_budgets(budgets).await {
        Ok(()) if *is_kept => {}
        Ok(()) => {
            *is_kept = true;
            info!("what callers have spent of their budgets is kept again");
        }
        Err(error) if *is_kept => {
            *is_kept = false;
            warn!(
                %error,
                "what callers have spent of their budgets cannot be kept, and is lost if the server ends now. It is tried again every second"
            );
        }
        Err(_) => {}
    }
}
