//! The database of the embedded engine: creates, opens and reopens it, and runs transactions.
//!
//! A database that has had an I/O error, such as a full disk, refuses all further work. It is opened anew before the next
//! transaction, so that the engine works again as soon as the disk does.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use parking_lot::{RwLock, RwLockReadGuard, RwLockUpgradableReadGuard};
use redb::{
    Database, DatabaseError, ReadableDatabase,
    backends::{FileBackend, InMemoryBackend},
};
use rustix::fs::{Access, access};
use tracing::warn;

use super::tables::{ReadTables, Tables};
use crate::conversation::store::StoreError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Open = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The length of redb's header, in bytes.
const HEADER: u64 = 320;

/// The database, and how to open it again.
pub(super) struct File {
    database: RwLock<Option<Database>>,
    open: Open,
}

/// Why a transaction did not succeed.
pub(super) enum Change {
    /// It was not committed.
    NotApplied(BoxError),
    /// It failed while it was committed.
    Unknown(BoxError),
}

impl File {
    /// A database in memory. It has no disk that could fail, so it is never opened again.
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).map_err(StoreError::failed)?;
        Self::with(database, Box::new(|| Database::builder().create_with_backend(InMemoryBackend::new())))
    }

    /// The database in this file, which is created if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        check_path(path).map_err(StoreError::failed)?;
        if fs::metadata(path).map_or(0, |metadata| metadata.len()) == 0 {
            create(path).map_err(StoreError::failed)?;
        }
        let header = fs::File::open(path).and_then(|file| header(&file)).map_err(StoreError::failed)?;
        let mut database = Database::open(path).map_err(StoreError::failed)?;
        // Verifies every checksum once, so that damage is found at the start and not in the middle of a turn.
        if let Err(damage) = database.check_integrity() {
            drop(database);
            // Opening the file has marked it as being in use. It is restored, so that it can be repaired as it was.
            let restored = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(&header));
            return Err(StoreError::failed(restored.map_or_else(|error| error.to_string(), |()| damage.to_string())));
        }
        let path = path.to_owned();
        Self::with(database, Box::new(move || Database::open(&path)))
    }

    /// This database. `open` opens it again after an I/O error.
    pub(super) fn with(database: Database, open: Open) -> Result<Self, StoreError> {
        let file = Self { database: RwLock::new(Some(database)), open };
        // A table cannot be read before a transaction has created it.
        file.change(count_bytes)?;
        Ok(file)
    }

    /// Runs a read transaction.
    pub(super) fn read<T>(&self, read: impl Fn(&ReadTables) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let run = || {
            let database = self.database()?;
            let Some(database) = database.as_ref() else { return Err(redb::Error::DatabaseClosed) };
            read(&ReadTables::open(&database.begin_read()?)?)
        };
        run().or_else(|error| if self.reopen(&error) { run() } else { Err(error) }).map_err(StoreError::failed)
    }

    /// Runs a write transaction whose outcome need not be resolved further.
    pub(super) fn change<T>(
        &self,
        change: impl Fn(&mut Tables<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.write(change).map_err(|change| match change {
            Change::NotApplied(error) => StoreError::Failed(error),
            Change::Unknown(error) => StoreError::Unknown(error),
        })
    }

    /// Runs a write transaction: all of it is on the disk, or none of it.
    pub(super) fn write<T>(&self, change: impl Fn(&mut Tables<'_>) -> Result<T, redb::Error>) -> Result<T, Change> {
        let mut tries = 0;
        loop {
            tries += 1;
            let prepared = || {
                let database = self.database()?;
                let Some(open) = database.as_ref() else { return Err(redb::Error::DatabaseClosed) };
                let transaction = open.begin_write()?;
                let changed = change(&mut Tables::open(&transaction)?)?;
                Ok((changed, transaction.commit()))
            };
            match prepared() {
                Ok((changed, Ok(()))) => return Ok(changed),
                Ok((_, Err(error))) => {
                    let error = redb::Error::from(error);
                    self.reopen(&error);
                    return Err(Change::Unknown(error.into()));
                }
                Err(error) if self.reopen(&error) && tries == 1 => {}
                Err(error) => return Err(Change::NotApplied(error.into())),
            }
        }
    }

    /// The database, opened if an earlier error has closed it.
    fn database(&self) -> Result<RwLockReadGuard<'_, Option<Database>>, redb::Error> {
        let database = self.database.read();
        if database.is_some() {
            return Ok(database);
        }
        drop(database);
        let database = self.database.upgradable_read();
        if database.is_some() {
            return Ok(RwLockUpgradableReadGuard::downgrade(database));
        }
        let mut database = RwLockUpgradableReadGuard::upgrade(database);
        *database = Some((self.open)().map_err(redb::Error::from)?);
        Ok(parking_lot::RwLockWriteGuard::downgrade(database))
    }

    /// Closes the database after an I/O error, so that the next transaction opens it anew. Returns whether it was one.
    fn reopen(&self, error: &redb::Error) -> bool {
        let io = matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo);
        if io {
            warn!(%error, "the conversation file had an I/O error and is opened again");
            *self.database.write() = None;
        }
        io
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File")
    }
}

fn count_bytes(tables: &mut Tables<'_>) -> Result<(), redb::Error> {
    tables.count_bytes()
}

/// Errors that a path has before any database is opened at it.
fn check_path(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            Err(io::Error::other("it is a symbolic link, which is not followed. Name the file itself"))
        }
        Ok(metadata) if metadata.is_dir() => Err(io::Error::other("it is a folder. Name a file in it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match folder(path) {
            folder if folder.is_dir() => Ok(()),
            folder => {
                Err(io::Error::other(format!("the folder {0} does not exist. Make it: mkdir -p {0}", folder.display())))
            }
        },
        found => found.map(drop),
    }
}

/// Checks that the file can be opened, or made, without doing either: another server can be using it.
pub(in crate::conversation) fn check(path: &Path) -> io::Result<()> {
    check_path(path)?;
    let is_there = path.exists();
    let (place, needed) = if is_there { (path.to_owned(), "read and written") } else { (folder(path), "written") };
    access(&place, if is_there { Access::READ_OK | Access::WRITE_OK } else { Access::WRITE_OK })
        .map_err(|error| io::Error::other(format!("{} cannot be {needed} by this user: {error}", place.display())))
}

fn folder(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Creates an empty database in a temporary file and then gives it its name, so that a server that is killed meanwhile leaves no half
/// database behind.
fn create(path: &Path) -> Result<(), BoxError> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = format!(".{}.new-", name(path));
    // Left behind by servers that were killed while they created it.
    for entry in fs::read_dir(folder(path))?.flatten() {
        if name(&entry.path()).starts_with(&prefix) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let temporary = folder(path).join(OsString::from(format!("{prefix}{}", std::process::id())));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
    let database = Database::builder().create_with_backend(FileBackend::new(file.try_clone()?)?)?;
    let transaction = database.begin_write()?;
    Tables::open(&transaction).map(drop)?;
    transaction.commit()?;
    drop(database);
    file.sync_all()?;
    publish(&temporary, path)?;
    fs::File::open(folder(path))?.sync_all()?;
    Ok(())
}

/// Gives the new database its name, unless another server has made one meanwhile.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, path) {
        Ok(()) => fs::remove_file(temporary),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && fs::metadata(path)?.len() > 0 => {
            fs::remove_file(temporary)
        }
        // There is an empty file, or the file system has no links.
        Err(_) => fs::rename(temporary, path),
    }
}

fn header(file: &fs::File) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    file.take(HEADER).read_to_end(&mut header).map(|_| header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_starts_at_the_same_time_does_not_replace_the_database_of_another() {
        let folder = std::env::temp_dir().join(format!("outcrop-test-create-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("conversations.redb");
        // Nothing is there, and then an empty file, as a mount of a container makes one.
        for empty in [false, true] {
            if empty {
                fs::write(&path, "").unwrap();
            }
            let opened = File::open(&path).unwrap();
            // The other has looked before the file was there.
            create(&path).unwrap();
            assert!(matches!(Database::open(&path), Err(DatabaseError::DatabaseAlreadyOpen)));
            drop(opened);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no temporary file is left");
            fs::remove_file(&path).unwrap();
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
