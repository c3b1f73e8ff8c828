//! The metrics of the process, under the names that all Prometheus clients use. Linux alone has them, in `/proc`.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Reads them at each scrape.
#[derive(Debug)]
pub(super) struct Process;

#[cfg(not(target_os = "linux"))]
impl Collector for Process {
    fn encode(&self, _: DescriptorEncoder) -> fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        // What cannot be read is left out.
        linux::Measured::now().map_or(Ok(()), |measured| measured.encode(encoder))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::{
        ProcResult, boot_time_secs, page_size,
        process::{LimitValue, Process},
        ticks_per_second,
    };
    use prometheus_client::{
        encoding::{DescriptorEncoder, EncodeMetric},
        metrics::{counter::ConstCounter, gauge::ConstGauge},
    };

    use crate::metrics::{
        registering::{registered, unit},
        table::{self, Row},
    };

    /// What `/proc` says of the process.
    pub(super) struct Measured {
        cpu_seconds: f64,
        resident_bytes: u64,
        open_files: u64,
        /// `None` if there is no limit.
        max_files: Option<u64>,
        start_seconds: f64,
    }

    impl Measured {
        pub(super) fn now() -> ProcResult<Self> {
            let process = Process::myself()?;
            let stat = process.stat()?;
            #[expect(clippy::cast_precision_loss, reason = "ticks of one process are far below 2^52")]
            let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
            #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
            let boot = boot_time_secs()? as f64;
            Ok(Self {
                cpu_seconds: seconds(stat.utime + stat.stime),
                resident_bytes: stat.rss.saturating_mul(page_size()),
                open_files: process.fd_count()? as u64,
                max_files: match process.limits()?.max_open_files.soft_limit {
                    LimitValue::Value(limit) => Some(limit),
                    LimitValue::Unlimited => None,
                },
                start_seconds: boot + seconds(stat.starttime),
            })
        }

        pub(super) fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let Self { cpu_seconds, resident_bytes, open_files, max_files, start_seconds } = *self;
            write(&mut encoder, table::PROCESS_CPU, &ConstCounter::new(cpu_seconds))?;
            write(&mut encoder, table::PROCESS_MEMORY, &ConstGauge::new(resident_bytes))?;
            write(&mut encoder, table::PROCESS_FILES, &ConstGauge::new(open_files))?;
            if let Some(max_files) = max_files {
                write(&mut encoder, table::PROCESS_MAX_FILES, &ConstGauge::new(max_files))?;
            }
            write(&mut encoder, table::PROCESS_START, &ConstGauge::new(start_seconds))
        }
    }

    fn write(encoder: &mut DescriptorEncoder<'_>, row: Row<0>, metric: &impl EncodeMetric) -> fmt::Result {
        let (name, unit) = (registered(row.name, row.unit), unit(row.unit));
        metric.encode(encoder.encode_descriptor(name, row.meaning, unit.as_ref(), metric.metric_type())?)
    }
}
