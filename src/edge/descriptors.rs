//! The limit of open files (`RLIMIT_NOFILE`). The default maximum of connections depends on it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cores;

/// The number of files that this process can open. `usize::MAX` if there is no limit.
pub(crate) fn limit() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Raises the soft limit of open files to the hard limit. If this fails, the soft limit is unchanged.
///
/// The soft limit is often 1024, because of programs that call `select`. This program does not.
pub fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The number of connections for this limit of open files. What the threads of the cores need is reserved, and of the rest a quarter for connections to
/// Bedrock, for the store and for the rest of the process.
pub(crate) fn connections(limit: usize) -> usize {
    let limit = limit.saturating_sub(cores::number() * cores::DESCRIPTORS);
    limit - limit.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_files_is_left_for_the_rest_of_the_process() {
        assert_eq!(connections(256 + cores::number() * cores::DESCRIPTORS), 192);
        assert_eq!(connections(1), 0);
        assert!(connections(usize::MAX) > usize::MAX / 2);
    }
}
