//! A disk in memory that fills up, fails, and loses writes that were not synced.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use redb::{Database, StorageBackend};

use crate::conversation::embedded::{Embedded, file::File};

/// A disk. After a crash it has only the writes that were synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(pub(super) Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) content: Vec<u8>,
    pub(super) synced: Vec<u8>,
    /// Writes since the last sync: the position, and the bytes.
    pub(super) unsynced: Vec<(usize, Vec<u8>)>,
    pub(super) written: u64,
    /// The operations that still succeed.
    pub(super) left: Option<u64>,
    pub(super) full: bool,
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => return Err(io::Error::other("the machine has crashed")),
            Some(left) => *left -= 1,
            None => {}
        }
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, at) = (self.0.lock(), usize::try_from(offset).unwrap());
        out.copy_from_slice(state.content.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        state.content.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.spend()?;
        state.synced = state.content.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, at) = (self.0.lock(), usize::try_from(offset).unwrap());
        state.spend()?;
        state.written += data.len() as u64;
        state.content[at..at + data.len()].copy_from_slice(data);
        state.unsynced.push((at, data.to_vec()));
        Ok(())
    }
}

impl Disk {
    pub(super) fn open(&self) -> Embedded {
        let (disk, again) = (self.clone(), self.clone());
        let database = Database::builder().create_with_backend(disk).unwrap();
        let open = Box::new(move || Database::builder().create_with_backend(again.clone()));
        Embedded::of(File::with(database, open).unwrap())
    }

    /// The disk after a crash: what was synced, and some of the writes after it, the last one torn.
    pub(super) fn crashed(&self, random: &mut fastrand::Rng) -> Self {
        let state = self.0.lock();
        let mut content = state.synced.clone();
        for (at, data) in &state.unsynced {
            let length = match random.u8(..4) {
                0 => 0,
                1 => random.usize(..=data.len()),
                _ => data.len(),
            };
            if content.len() < at + length {
                content.resize(at + length, 0);
            }
            content[*at..at + length].copy_from_slice(&data[..length]);
        }
        Self(Arc::new(Mutex::new(State { synced: content.clone(), content, ..State::default() })))
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock());
    }
}
