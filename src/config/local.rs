//! What `--local` needs: a build with the emulator, and the scripts and recordings that the settings name.

use std::path::PathBuf;

use super::problems::Problems;
use crate::failover::routes::{Routes, WrittenRoute};

/// The models of the emulator that the settings name.
#[cfg_attr(not(feature = "emulator"), expect(dead_code, reason = "they are checked against the emulator"))]
pub(super) struct Named<'a> {
    /// The folder of scripts.
    pub(super) scripts: Option<&'a PathBuf>,
    /// The folder of recordings.
    pub(super) recordings: Option<&'a PathBuf>,
    /// The routes as they are written.
    pub(super) written: &'a [WrittenRoute],
    /// Their targets.
    pub(super) routes: &'a Routes,
    /// The default model.
    pub(super) default_model: Option<&'a str>,
}

/// Refuses names of scripts and recordings that the emulator does not have. Any other model id has its ordinary answer.
#[cfg(feature = "emulator")]
pub(super) fn check(named: &Named, problems: &mut Problems) {
    use bedrock_emulator::{RECORDING_PREFIX, SCRIPT_PREFIX, models};

    use super::file::meant;

    let Named { scripts, recordings, written, routes, default_model } = *named;
    let known = match models(scripts.map(PathBuf::as_path), recordings.map(PathBuf::as_path)) {
        Ok(known) => known,
        // A folder that is missing is reported with its flag.
        Err(_) if [scripts, recordings].into_iter().flatten().any(|folder| !folder.is_dir()) => return,
        Err(error) => return problems.add(format!("--local cannot be used: {error}")),
    };
    let is_unknown = |model: &str| {
        (model.starts_with(SCRIPT_PREFIX) || model.starts_with(RECORDING_PREFIX))
            && !known.iter().any(|name| name == model)
    };
    let mut check = |place: &str, model: &str| {
        if is_unknown(model) {
            let meant = meant(model, known.iter().map(String::as_str));
            problems.add(format!("{place} names {model}, which the emulator does not have{meant}"));
        }
    };
    for WrittenRoute { place, name, .. } in written {
        routes.targets_of(name).iter().for_each(|target| check(place, &target.model_id));
    }
    if let Some(model) = default_model.filter(|model| !routes.names().any(|name| name == *model)) {
        check("--default-model", model);
    }
}

/// Refuses `--local`, because this build has no emulator.
#[cfg(not(feature = "emulator"))]
pub(super) fn check(_: &Named, problems: &mut Problems) {
    problems.add(format!("--local cannot be used: {}", crate::bedrock::NO_EMULATOR));
}
