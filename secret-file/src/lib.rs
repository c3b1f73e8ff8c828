//! Reads passwords and private keys from files. A file that other users can read is refused.
//!
//! Server and client use it, so both refuse the same files. The content is in a type whose `Debug` hides it and that clears its memory.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use secrecy::zeroize::Zeroizing;
pub use secrecy::{ExposeSecret, SecretString};

/// The maximum size of a secret, in bytes. A private key of RSA with 16384 bits has 13 KiB in PEM.
const MAX_BYTES: usize = 64 << 10;

/// The permissions of the group and of others, of which none may be set.
const GROUP_AND_OTHERS: u32 = 0o077;

/// The permission of the group to read.
const GROUP_READS: u32 = 0o040;

/// Why a file is not used. The text continues "FILE, which …".
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Other users can read or change it.
    #[error("can be read or changed by other users (mode {mode:04o}). Run: chmod 600 {}", shell_word(.path))]
    Permissions {
        /// The permissions of the file.
        mode: u32,
        /// The file.
        path: PathBuf,
    },
    /// It has nothing in it but an end of line.
    #[error("is empty")]
    Empty,
    /// It is larger than any secret.
    #[error("is larger than {MAX_BYTES} bytes. Is it the right file?")]
    TooLarge,
    /// It is not UTF-8.
    #[error("is not text. Is it the right file?")]
    NotText,
}

/// Reads a secret without the ends of line after it.
///
/// A file that the group can read is accepted if it belongs to root and this process runs as another user: Kubernetes mounts secrets so,
/// and the process cannot change the mode.
///
/// # Errors
/// If the file cannot be read, if other users can read it, or if it is empty, larger than 64 KiB or not text.
pub fn read_secret(path: &Path) -> Result<SecretString, SecretFileError> {
    let file = File::open(path)?;
    // Of the opened file: the name can lead to another one by now.
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if mode & refused(metadata.uid() == 0, rustix::process::geteuid().is_root()) != 0 {
        return Err(SecretFileError::Permissions { mode, path: path.to_owned() });
    }
    // It has its whole capacity from the beginning: a buffer that grows leaves copies in memory.
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    match file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(SecretFileError::NotText),
        Err(error) => return Err(error.into()),
        Ok(length) if length > MAX_BYTES => return Err(SecretFileError::TooLarge),
        Ok(_) => {}
    }
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(SecretFileError::Empty) } else { Ok(secret.into()) }
}

/// The permissions of which a file with a secret may have none.
fn refused(is_roots: bool, runs_as_root: bool) -> u32 {
    if is_roots && !runs_as_root { GROUP_AND_OTHERS & !GROUP_READS } else { GROUP_AND_OTHERS }
}

/// A path as a word of a shell, for messages with a command to run.
pub fn shell_word(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// A file that is removed at the end.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, content: impl AsRef<[u8]>, mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("outcrop secret {} {name}", std::process::id()));
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn the_secret_of_a_private_file_is_read_and_not_shown() {
        for mode in [0o600, 0o400] {
            let file = Temporary::new(&format!("private {mode:o}"), "swordfish\r\n", mode);
            let secret = read_secret(&file.0).unwrap();
            assert_eq!(secret.expose_secret(), "swordfish");
            assert!(!format!("{secret:?}").contains("swordfish"));
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_change_is_refused_with_the_command_to_run() {
        for mode in [0o640, 0o604, 0o644, 0o620, 0o602, 0o660, 0o777] {
            let file = Temporary::new(&format!("open {mode:o}"), "swordfish", mode);
            let error = read_secret(&file.0).unwrap_err().to_string();
            let command = format!("Run: chmod 600 '{}'", file.0.display());
            assert!(error.contains(&format!("mode {mode:04o}")) && error.ends_with(&command), "{error}");
            assert!(!error.contains("swordfish"));
        }
    }

    #[test]
    fn the_group_may_read_a_file_of_root_alone_and_only_if_the_process_is_another_user() {
        for (is_roots, runs_as_root, group_reads) in
            [(true, false, true), (true, true, false), (false, false, false), (false, true, false)]
        {
            let refused = refused(is_roots, runs_as_root);
            assert_eq!(0o640 & refused == 0, group_reads, "{is_roots} {runs_as_root}");
            for never in [0o660, 0o604, 0o610, 0o602] {
                assert_ne!(never & refused, 0, "{never:o}");
            }
            assert_eq!(0o700 & refused, 0);
        }
    }

    #[test]
    fn a_file_without_a_secret_is_refused() {
        for (name, content, said) in [
            ("empty", vec![], "is empty"),
            ("lines", b"\n\r\n".to_vec(), "is empty"),
            ("large", vec![b'a'; MAX_BYTES + 1], "larger than 65536 bytes"),
            ("binary", vec![0xff; 10], "is not text"),
        ] {
            let file = Temporary::new(name, content, 0o600);
            let error = read_secret(&file.0).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
        let file = Temporary::new("largest", vec![b'a'; MAX_BYTES], 0o600);
        assert_eq!(read_secret(&file.0).unwrap().expose_secret().len(), MAX_BYTES);
        for path in ["/nowhere/secret", "/"] {
            let error = read_secret(Path::new(path)).unwrap_err().to_string();
            assert!(error.contains("cannot be read"), "{error}");
        }
    }

    #[test]
    fn a_path_is_a_word_of_a_shell() {
        assert_eq!(shell_word(Path::new("/a/b-c_d.pem")), "/a/b-c_d.pem");
        assert_eq!(shell_word(Path::new("it's; rm")), r"'it'\''s; rm'");
    }
}
