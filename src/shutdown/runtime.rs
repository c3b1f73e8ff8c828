//! The runtime of the program, and its end in bounded time.
//!
//! Work of the blocking pool cannot be cancelled: a write to a disk that hangs does not return, and a runtime that is dropped waits for it.
//! A process that ends during a write loses nothing that the store confirmed. The caller of a turn that was not confirmed was told
//! `CONVERSATION_OUTCOME_UNKNOWN`.

use std::{io, time::Duration};

use tokio::runtime::Builder;

/// The time that work of the blocking pool gets to end.
pub(crate) const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the program to its end on a runtime of its own. Work of the blocking pool that has not ended two seconds later is left behind.
///
/// # Errors
/// If the operating system gives no threads or no file descriptors for the runtime.
pub fn block_on<T>(program: impl Future<Output = T>) -> io::Result<T> {
    end_within(EXIT_TIMEOUT, program)
}

fn end_within<T>(time: Duration, program: impl Future<Output = T>) -> io::Result<T> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(program);
    runtime.shutdown_timeout(time);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        thread,
    };

    use tokio::{sync::oneshot, task::spawn_blocking};

    use super::*;

    /// Longer than anything here takes.
    const HANGS: Duration = Duration::from_mins(1);

    /// Ends a program during a write that goes on until the sender says so. The receiver gets the end of the write, and then of the program.
    fn program_that_writes(time: Duration) -> (Sender<()>, Receiver<&'static str>) {
        let (go_on, hangs) = channel::<()>();
        let (tell, told) = channel();
        let of_write = tell.clone();
        thread::spawn(move || {
            let ended = end_within(time, async {
                let (begun, has_begun) = oneshot::channel();
                spawn_blocking(move || {
                    begun.send(()).unwrap();
                    let _ = hangs.recv();
                    let _ = of_write.send("the write");
                });
                has_begun.await.unwrap();
                "the program"
            });
            tell.send(ended.unwrap()).unwrap();
        });
        (go_on, told)
    }

    #[test]
    fn a_write_that_hangs_does_not_keep_the_process() {
        let (go_on, told) = program_that_writes(Duration::from_millis(50));
        assert_eq!(told.recv_timeout(HANGS), Ok("the program"));
        drop(go_on);
    }

    #[test]
    fn a_write_that_ends_in_time_is_waited_for() {
        let (go_on, told) = program_that_writes(HANGS);
        drop(go_on);
        assert_eq!(told.recv_timeout(HANGS), Ok("the write"));
        assert_eq!(told.recv_timeout(HANGS), Ok("the program"));
    }
}
