//! What the fuzz target `script` in `fuzz/` calls.

use crate::{playback, script::Script};

/// The most actions of a script that are played, because a script can repeat its steps without end.
const ACTIONS: usize = 10_000;

/// A script file: it is refused, or it can be played.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(scripts) = Script::sequence_from_json(text) else { return };
    assert!(!scripts.is_empty());
    for script in scripts {
        playback::actions(&script).take(ACTIONS).for_each(drop);
    }
}
