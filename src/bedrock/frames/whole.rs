//! A body that is no event stream: one answer, which is received whole within the memory for requests.

use bytes::Bytes;

use crate::{
    admission::request_memory::MemoryPermit,
    error::{Error, corrupt},
};

/// What has arrived of an answer.
#[derive(Debug, Default)]
pub(super) struct Whole {
    received: Vec<u8>,
    /// The length that its header declares, or 0.
    declared: usize,
    /// The memory that `received` takes. `None` if the answer is bounded to little.
    memory: Option<MemoryPermit>,
}

/// An answer with its memory, which is released when the last reader of its bytes drops them.
struct CountedBytes {
    bytes: Vec<u8>,
    _memory: Option<MemoryPermit>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Whole {
    /// An answer of this length, or of an unknown one if it is 0.
    pub(super) fn of_length(declared: usize) -> Self {
        Self { declared, ..Self::default() }
    }

    /// Takes its memory with this permit.
    pub(super) fn take_from(&mut self, memory: MemoryPermit) {
        self.memory = Some(memory);
    }

    /// Adds bytes. The memory for them is taken before it is used: what is declared, and at least twice as much as before, so that
    /// bytes are seldom moved.
    ///
    /// # Errors
    /// `UPSTREAM_CORRUPT` if the answer has more than `longest` bytes, `LOCAL_LIMIT` if the memory is not free.
    pub(super) fn add(&mut self, data: &[u8], longest: usize) -> Result<(), Error> {
        let (taken, length) = (self.received.capacity(), self.received.len() + data.len());
        if length > longest {
            return Err(corrupt(format!("the answer has more than {longest} bytes")));
        }
        if length > taken {
            let wanted = length.max(self.declared).max(taken.saturating_mul(2)).min(longest);
            if let Some(memory) = &self.memory {
                memory.grow_by_answer((wanted - taken) as u64)?;
            }
            self.received.reserve_exact(wanted - self.received.len());
        }
        self.received.extend_from_slice(data);
        Ok(())
    }

    /// The answer.
    pub(super) fn end(mut self) -> Bytes {
        let unused = self.received.capacity() - self.received.len();
        self.received.shrink_to_fit();
        if let Some(memory) = &self.memory {
            memory.shrink(unused as u64);
        }
        Bytes::from_owner(CountedBytes { bytes: self.received, _memory: self.memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::{client::ClientId, request_memory::RequestMemory},
        error::Reason,
        metrics::Metrics,
    };

    const MIB: usize = 1 << 20;

    fn taken(metrics: &Metrics) -> u64 {
        let text = metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("outcrop_request_memory_bytes "));
        line.unwrap().parse().unwrap()
    }

    #[test]
    fn the_memory_of_an_answer_is_taken_before_it_is_used_and_held_until_its_bytes_are_dropped() {
        let metrics = Metrics::default();
        let memory = RequestMemory::new(8 * MIB, metrics.clone());
        let client = ClientId::of_address([192, 0, 2, 1].into());
        let answer = || Whole { memory: Some(memory.permit(client.clone())), ..Whole::default() };
        let (mut first, mut second, piece) = (answer(), answer(), vec![b'x'; MIB / 2]);
        for _ in 0..5 {
            first.add(&piece, 64 * MIB).unwrap();
            assert!(first.received.capacity() as u64 <= taken(&metrics));
        }
        let error = (0..16).find_map(|_| second.add(&piece, 64 * MIB).err()).unwrap();
        assert_eq!(error.reason(), Reason::LocalLimit);
        assert!(taken(&metrics) <= 8 * MIB as u64);
        drop(second);
        let mut body = first.end();
        assert_eq!(body.len(), 5 * MIB / 2);
        let last = body.split_off(MIB);
        drop(body);
        assert_eq!(taken(&metrics), 5 * MIB as u64 / 2);
        drop(last);
        assert_eq!(taken(&metrics), 0);
    }

    #[test]
    fn an_answer_that_is_too_long_is_refused_before_it_is_kept() {
        let mut whole = Whole::default();
        whole.add(&[0; 10], 15).unwrap();
        assert_eq!(whole.add(&[0; 6], 15).unwrap_err().reason(), Reason::UpstreamCorrupt);
        assert_eq!(whole.end().len(), 10);
    }
}
