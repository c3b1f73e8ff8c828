//! What the fuzz target `script` in `fuzz/` calls.

use crate::{playback, script::Script};

/// The most actions of a script that are played, because a script can repeat its steps without end.
const ACTIONS: usize = 10_000;
/// The most bytes, because an action can be a chunk of many frames.
const BYTES: usize = 4 << 20;

/// A script file: it is refused, or it can be played.
pub fn script(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(scripts) = Script::sequence_from_json(text) else { return };
    assert!(!scripts.is_empty());
    for script in scripts {
        let mut bytes = 0;
        let sent = |action: playback::Action| if let playback::Action::Send(sent) = action { sent.len() } else { 0 };
        for action in playback::actions(&script).take(ACTIONS) {
            bytes += sent(action);
            if bytes > BYTES {
                break;
            }
        }
    }
}
