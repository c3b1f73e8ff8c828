//! Calls of scripts that run in Redis. A script is atomic, and touches keys of one slot of a cluster.

use redis::{Cmd, cmd};

/// A call of a script. The text goes with it, so that it works at a node that has never seen it.
pub(crate) fn call(script: &str, keys: &[String]) -> Cmd {
    let mut call = cmd("EVAL");
    call.arg(script).arg(keys.len()).arg(keys);
    call
}
