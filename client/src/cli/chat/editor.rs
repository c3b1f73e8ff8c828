//! Lets the user edit a text in `$VISUAL` or `$EDITOR`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tokio::process::Command;

/// The text after the editor has ended. It is in a file that only the user can read, which is removed.
pub(super) async fn edit(text: String) -> Result<String, String> {
    let file = TemporaryFile::new(&text).map_err(|error| format!("cannot write a file for the editor: {error}"))?;
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    // The variable can have arguments, so the shell splits it, as git does.
    let script = format!("{editor} \"$@\"");
    let status = Command::new("sh").args(["-c", &script, &editor]).arg(&file.0).status().await;
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the editor {editor:?} ended with {status}: nothing is sent")),
        Err(error) => return Err(format!("cannot run the editor {editor:?}: {error}. Set EDITOR")),
    }
    fs::read_to_string(&file.0).map_err(|error| format!("cannot read what the editor wrote: {error}"))
}

/// A file that is removed with this value.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(text: &str) -> std::io::Result<Self> {
        let name = format!("outcrop-prompt-{:016x}.md", fastrand::u64(..));
        let path = std::env::temp_dir().join(Path::new(&name));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let created = Self(path);
        file.write_all(text.as_bytes())?;
        Ok(created)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // An editor can have removed it.
        let _ = fs::remove_file(&self.0);
    }
}
