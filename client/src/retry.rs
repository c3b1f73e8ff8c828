//! Retries of calls: only those that the server allows with RetryInfo, before content, and after the delay that it names.

use std::time::Duration;

use crate::ClientError;

/// Calls until a call succeeds, fails for a reason for which a retry cannot help, or was retried `limit` times.
pub(crate) async fn retrying<T, F>(limit: u32, mut call: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut made = 0;
    loop {
        let error = match call().await {
            Err(error) if made < limit => error,
            ended => return ended,
        };
        let Some(delay) = error.retry_delay() else { return Err(error) };
        made += 1;
        tokio::time::sleep(delay).await;
    }
}

impl ClientError {
    /// The delay after which the same call can succeed. `None` if the server names none, or if content had arrived: a new answer would be
    /// another one.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Call(call) if !call.is_after_content() => call.retry_delay,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;
    use tonic::Status;

    use super::*;
    use crate::CallError;

    fn failure(delay: Option<u64>, phase: &str) -> ClientError {
        let status = Status::from_error(Box::new(std::io::Error::other("an error of the test")));
        let metadata = [("phase".to_owned(), phase.to_owned())].into();
        CallError { retry_delay: delay.map(Duration::from_secs), metadata, ..CallError::from(&status) }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_retried_only_as_often_and_as_late_as_it_is_allowed() {
        for (limit, delay, phase, calls) in [
            (3, Some(2), "before_content", 4),
            (0, Some(2), "before_content", 1),
            (3, None, "before_content", 1),
            (3, Some(2), "after_content", 1),
        ] {
            let (made, started) = (Cell::new(0), Instant::now());
            let ended: Result<(), _> = retrying(limit, || {
                made.set(made.get() + 1);
                std::future::ready(Err(failure(delay, phase)))
            })
            .await;
            assert!(ended.is_err());
            assert_eq!(made.get(), calls, "{limit} {delay:?} {phase}");
            assert_eq!(started.elapsed().as_secs(), 2 * (calls - 1));
        }
    }
}
