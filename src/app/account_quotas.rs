//! The quotas of the AWS account whose numbers the configuration does not have, from AWS Service Quotas into the ledger.

use crate::{
    bedrock::{Bedrock, service_quotas::ServiceQuotas},
    error::Error,
    identity::directory::Directory,
    quota::{
        codes::{CodedQuotas, ReadCode},
        ledger::Ledger,
        settings::QuotaSettings,
    },
};

/// What was read, and where it is read. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct AccountQuotas {
    coded: CodedQuotas,
    service: ServiceQuotas,
}

impl AccountQuotas {
    /// Reads the codes of these settings, for a bounded time.
    pub(super) async fn open(bedrock: &Bedrock, settings: &QuotaSettings) -> Self {
        let (coded, service) = (CodedQuotas::new(bedrock.home()), bedrock.service_quotas());
        coded.begin(settings, &service).await;
        Self { coded, service }
    }

    /// These settings with the numbers that were read.
    pub(super) fn applied(&self, settings: &QuotaSettings) -> QuotaSettings {
        self.coded.applied(settings)
    }

    /// Lets the ledger follow other settings, whose new codes are read soon.
    pub(super) fn follow(&self, settings: &QuotaSettings, ledger: &Ledger) {
        ledger.follow(&self.applied(settings));
        self.coded.changed();
    }

    /// Reads the codes of the settings that are in force again and again, and lets the ledger follow, while it is polled.
    pub(super) async fn run(&self, directory: &Directory, ledger: &Ledger) {
        let in_force = || directory.in_force().quotas.clone();
        self.coded.run(in_force, &self.service, |settings| ledger.follow(settings)).await;
    }
}

impl ReadCode for ServiceQuotas {
    async fn read_code(&self, region: &str, code: &str) -> Result<f64, Error> {
        self.read(region, code).await
    }
}
