//! The table of all metrics: what each is called, and what it means. Metrics are registered from it, and docs/metrics.md has the same rows;
//! a test compares the two, column by column.
//!
//! No label has a value that a caller can choose. Tenants, models, regions and targets are bounded by the configuration, and the rest by the code.

/// What a metric is.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum In {
    /// A number without a unit.
    Number,
    Seconds,
    Bytes,
}

/// What an operator can rely on.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stability {
    /// Name and labels stay the same within a major version.
    Stable,
    /// They can change with any version.
    Experimental,
}

/// A metric with `N` labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<const N: usize> {
    /// As Prometheus writes it.
    pub(super) name: &'static str,
    pub(super) unit: In,
    pub(super) labels: [&'static str; N],
    pub(super) meaning: &'static str,
}

/// A row of the table whose number of labels does not matter.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnyRow {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: In,
    pub(super) labels: &'static [&'static str],
    pub(super) stability: Stability,
    pub(super) meaning: &'static str,
}

macro_rules! table {
    ($($row:ident: $kind:ident, $unit:ident, $stability:ident, $name:literal, [$($label:literal),*], $meaning:literal;)*) => {
        $(pub(super) const $row: Row<{ <[&str]>::len(&[$($label),*]) }> = Row {
            name: $name,
            unit: In::$unit,
            labels: [$($label),*],
            meaning: $meaning,
        };)*

        /// All rows, in the order of the documentation.
        #[cfg(test)]
        pub(crate) const TABLE: &[AnyRow] = &[$(AnyRow {
            name: $name,
            kind: Kind::$kind,
            unit: In::$unit,
            labels: &[$($label),*],
            stability: Stability::$stability,
            meaning: $meaning,
        }),*];
    };
}

table! {
    // Calls.
    CALLS: Counter, Number, Stable, "outcrop_calls_total", ["method", "outcome"],
        "calls of the generation service that have ended, and refused calls of other services (method is other): answered (a method without a stream), refused, left (the caller left before there was an answer), finished, failed, abandoned";
    STREAMS_RUNNING: Gauge, Number, Stable, "outcrop_streams_running", [],
        "running streams";
    MODEL_STREAMS_RUNNING: Gauge, Number, Stable, "outcrop_model_streams_running", ["model"],
        "running streams and drains by model";
    STREAMS_FINISHED: Counter, Number, Stable, "outcrop_streams_finished_total", ["tenant", "model"],
        "streams that ended with OK, and those whose callers left while the turn of a complete answer was being stored";
    STREAMS_FAILED: Counter, Number, Stable, "outcrop_streams_failed_total", ["tenant", "model", "reason", "phase"],
        "streams that ended with a status other than OK; the reasons";
    STREAMS_ABANDONED: Counter, Number, Stable, "outcrop_streams_abandoned_total", ["tenant", "model", "mode", "usage"],
        "abandoned streams; mode is cancel or drain, usage is provider if Bedrock reported the usage, else none";
    CALLS_REFUSED: Counter, Number, Stable, "outcrop_calls_refused_total", ["model", "reason"],
        "calls that were refused before a request was sent to Bedrock";
    DRAINS_RUNNING: Gauge, Number, Stable, "outcrop_drains_running", [],
        "abandoned calls that are being drained";
    FIRST_CONTENT: Histogram, Seconds, Stable, "outcrop_first_content_seconds", ["model"],
        "the time from the headers of a call to its first content, including the queue, retries and backoff";
    STREAM_DURATION: Histogram, Seconds, Stable, "outcrop_stream_duration_seconds", ["model", "outcome"],
        "the time from the headers of a call to the end of its stream, or of its drain; outcome is finished, failed or abandoned";
    OUTPUT_RATE: Histogram, Number, Experimental, "outcrop_output_tokens_per_second", ["model"],
        "output tokens of a finished stream, divided by the seconds from its first content to its end; only of streams for which these are at least 0.1 s";
    CHUNK_GAP: Histogram, Seconds, Experimental, "outcrop_chunk_gap_seconds", ["model"],
        "the time that a stream waited for Bedrock between two chunks, counted when the stream ends. The time in which the caller does not read is not part of it";
    STALLS: Counter, Number, Experimental, "outcrop_stalls_total", ["model"],
        "gaps of at least 10 s between two chunks, and those at which the stream ended";
    TOKENS: Counter, Number, Stable, "outcrop_tokens_total", ["tenant", "model", "kind"],
        "tokens used, as reported by Bedrock; kind is input (without the prompt cache), output, cache_read or cache_write, and their sum is what was used";
    ABANDONED_TOKENS: Counter, Number, Stable, "outcrop_abandoned_tokens_total", ["tenant", "model", "kind"],
        "the part of outcrop_tokens_total that abandoned streams have used";
    // Capacity.
    STREAMS_LIMIT: Gauge, Number, Stable, "outcrop_streams_limit", ["limit"],
        "the limits of running streams: server (--max-streams), caller and model; without a series there is no limit";
    QUEUE_CALLS: Gauge, Number, Stable, "outcrop_queue_calls", [],
        "calls that wait in a queue, for a permit or for quota of Bedrock";
    QUEUE_WAIT: Histogram, Seconds, Stable, "outcrop_queue_wait_seconds", ["outcome"],
        "the time that calls waited in a queue; outcome is admitted, refused or left";
    REQUEST_MEMORY: Gauge, Bytes, Stable, "outcrop_request_memory_bytes", [],
        "memory of requests that are being received or wait for their first content, of whole answers of the Bedrock API, and of messages for finish (--max-request-memory)";
    OVERHEAD: Histogram, Seconds, Stable, "outcrop_overhead_seconds", [],
        "the time from the headers of a call to its first attempt, without the queue: the part of the server itself";
    // Bedrock.
    ATTEMPTS: Counter, Number, Stable, "outcrop_attempts_total", ["model", "region", "outcome"],
        "attempts at Bedrock; outcome is ANSWERED or the reason of the failure";
    ATTEMPT_FIRST_CONTENT: Histogram, Seconds, Stable, "outcrop_attempt_first_content_seconds", ["model", "region"],
        "the time from the beginning of a successful attempt to its first content: the part of Bedrock";
    UPSTREAM_CONNECT: Histogram, Seconds, Stable, "outcrop_upstream_connect_seconds", ["outcome"],
        "the time to make a connection to Bedrock, with TLS; outcome is connected or failed";
    RETRIES: Counter, Number, Stable, "outcrop_retries_total", ["kind"],
        "further attempts of calls; kind is repeat (the same target) or failover (another one)";
    RETRY_BUDGET_EXHAUSTED: Counter, Number, Stable, "outcrop_retry_budget_exhausted_total", [],
        "attempts that were not repeated because the retry budget was exhausted";
    BREAKER_STATE: Gauge, Number, Stable, "outcrop_circuit_breaker_state", ["target", "state"],
        "1 for the state of the circuit breaker of a target, which is closed, open or half_open, and 0 for the others; a target appears with its first attempt";
    BREAKER_EJECTIONS: Counter, Number, Stable, "outcrop_circuit_breaker_ejections_total", ["target"],
        "how often the circuit breaker of a target opened";
    QUOTA_LIMIT: Gauge, Number, Experimental, "outcrop_quota_limit", ["model", "region", "quota"],
        "the quota of a model in a region: tokens and requests a minute, and streams; without a series there is no limit";
    QUOTA_SHARE: Gauge, Number, Experimental, "outcrop_quota_share", ["model", "region", "quota"],
        "the part of the quota that this server can spend; all of it if servers do not share it";
    QUOTA_RESERVED: Gauge, Number, Experimental, "outcrop_quota_reserved", ["model", "region", "quota"],
        "what running calls have reserved: tokens, and streams";
    QUOTA_USED: Gauge, Number, Experimental, "outcrop_quota_used", ["model", "region", "quota"],
        "what was used in the last minute: the tokens that ended calls were charged, and the requests that began";
    QUOTA_FREE: Gauge, Number, Experimental, "outcrop_quota_free", ["model", "region", "quota"],
        "what a call that comes now can have at once";
    QUOTA_SAFE_SHARE: Gauge, Number, Experimental, "outcrop_quota_safe_share", ["model", "region"],
        "the part of the quota that the server spends at most, from 0 to 1; less than 1 for a while after Bedrock has throttled";
    QUOTA_WAITING: Gauge, Number, Experimental, "outcrop_quota_waiting_calls", ["model", "region"],
        "calls that wait for the quota";
    QUOTA_THROTTLED: Counter, Number, Experimental, "outcrop_quota_throttled_calls_total", ["model", "region"],
        "calls that Bedrock has throttled";
    QUOTA_CHARGED: Counter, Number, Experimental, "outcrop_quota_charged_tokens_total", ["model", "region"],
        "tokens of the quota that calls were charged: input without cache reads, and output times the burndown rate";
    BUDGET_LIMIT: Gauge, Number, Experimental, "outcrop_budget_limit", ["caller", "budget"],
        "the budgets of callers: tokens_per_day, tokens_per_month, and in millionths of the currency of the prices cost_micros_per_day and cost_micros_per_month";
    BUDGET_RESERVED: Gauge, Number, Experimental, "outcrop_budget_reserved", ["caller", "budget"],
        "the part of a budget that running calls have reserved";
    BUDGET_SPENT: Gauge, Number, Experimental, "outcrop_budget_spent", ["caller", "budget"],
        "the part of a budget that is spent in the running day or month of UTC; at all servers, if they share budgets";
    // Conversations.
    STORE_REQUEST: Histogram, Seconds, Stable, "outcrop_store_request_seconds", ["engine", "operation"],
        "the time of requests to the store of conversations; engine is memory, file or redis";
    STORE_ERRORS: Counter, Number, Stable, "outcrop_store_errors_total", ["engine", "operation", "error"],
        "requests to the store that failed; error is failed (nothing was changed), unknown (not confirmed) or unanswered (given up before there was an answer)";
    // Connections.
    CONNECTIONS_OPEN: Gauge, Number, Stable, "outcrop_connections_open", [],
        "open connections of clients";
    CONNECTIONS_REFUSED: Counter, Number, Stable, "outcrop_connections_refused_total", ["limit"],
        "connections closed at once because of a limit of connections: total or address";
    TLS_HANDSHAKES: Counter, Number, Stable, "outcrop_tls_handshakes_total", ["outcome"],
        "TLS handshakes: completed, client_certificate (the client has none, or one that is not accepted), failed, abandoned (the client left, or did not finish in time), plaintext (the client does not speak TLS)";
    CERTIFICATE_EXPIRY: Gauge, Seconds, Stable, "outcrop_tls_certificate_expiry_seconds", [],
        "when the certificate of the server expires, in seconds since 1970; 0 without TLS";
    // The process.
    BUILD_INFO: Gauge, Number, Stable, "outcrop_build_info", ["version", "features"],
        "1, with the version of the program and the features of its build";
    CONFIG_GENERATION: Gauge, Number, Stable, "outcrop_config_generation", [],
        "the number of times that the configuration was applied, including the start";
    CONFIG_RELOADS_FAILED: Counter, Number, Stable, "outcrop_config_reloads_failed_total", [],
        "changes of the configuration file that could not be used";
    AUDIT_LINES_LOST: Counter, Number, Stable, "outcrop_audit_lines_lost_total", [],
        "lines of the audit log that were lost";
    AUDIT_WRITES_FAILED: Counter, Number, Stable, "outcrop_audit_writes_failed_total", [],
        "failed writes of the audit log, which are tried again";
    SPANS_DROPPED: Counter, Number, Stable, "outcrop_telemetry_spans_dropped_total", ["cause"],
        "spans that did not reach the collector: queue_full (as many as may wait were waiting) or export_failed";
    EXPORTS_FAILED: Counter, Number, Stable, "outcrop_telemetry_exports_failed_total", ["signal"],
        "exports that the collector did not take; signal is traces or metrics";
    PROCESS_CPU: Counter, Seconds, Stable, "process_cpu_seconds_total", [],
        "processor time of the process, in user and in system mode; only on Linux, as all process metrics";
    PROCESS_MEMORY: Gauge, Bytes, Stable, "process_resident_memory_bytes", [],
        "resident memory of the process";
    PROCESS_FILES: Gauge, Number, Stable, "process_open_fds", [],
        "open file descriptors";
    PROCESS_MAX_FILES: Gauge, Number, Stable, "process_max_fds", [],
        "the limit of open file descriptors";
    PROCESS_START: Gauge, Seconds, Stable, "process_start_time_seconds", [],
        "when the process started, in seconds since 1970";
}
