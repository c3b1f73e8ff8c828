//! Variables that look like settings and are none, because a misspelt variable would otherwise have no effect without a word.

use super::{
    file::meant,
    flags::{CONFIGURED, PASSWORD, arguments},
};

/// The beginning of the names of all variables of the program.
pub(super) const PREFIX: &str = "OUTCROP_";

/// The variables of the client, which can have the same environment.
const CLIENT: [&str; 7] = [
    "OUTCROP_API_KEY",
    "OUTCROP_API_KEY_FILE",
    "OUTCROP_CA",
    "OUTCROP_CERT",
    "OUTCROP_ENDPOINT",
    "OUTCROP_KEY",
    "OUTCROP_MODEL",
];

/// The beginnings of variables with other uses: tests, fuzz targets, and what Kubernetes sets for a service with the name `outcrop`.
const OTHERS: [&str; 5] = ["OUTCROP_TEST_", "OUTCROP_FUZZ_", "OUTCROP_TARGET", "OUTCROP_SERVICE_", "OUTCROP_PORT"];

/// A warning for every one of these variables that should be read by the program, by its name, and is not.
pub(super) fn unknown<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let of_flags = CONFIGURED.iter().flat_map(|command| arguments(command));
    let of_flags = of_flags.filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned()));
    let others = CLIENT.into_iter().chain([PASSWORD]).map(str::to_owned);
    let known: Vec<_> = of_flags.chain(others).collect();
    let ours = names.filter(|name| name.starts_with(PREFIX));
    ours.filter(|name| !known.iter().any(|known| known == name))
        .filter(|name| !OTHERS.iter().any(|other| name.starts_with(other)))
        .map(|name| {
            format!("{name} is not a variable of this program{}", meant(name, known.iter().map(String::as_str)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_nothing_reads_are_told_with_the_one_that_is_meant() {
        let set = [
            "OUTCROP_MAX_STREAM",
            "OUTCROP_CONFIG",
            "OUTCROP_ROUTES",
            "OUTCROP_LOG",
            "OUTCROP_CONVERSATIONS_PASSWORD",
            "OUTCROP_API_KEY",
            "OUTCROP_TEST_SEED",
            "OUTCROP_SERVICE_HOST",
            "OUTCROP_PORT_50051_TCP",
            "OUTCROP_SOMETHING_ELSE",
            "MAX_STREAMS",
        ];
        let told = unknown(set.into_iter());
        assert_eq!(told[0], "OUTCROP_MAX_STREAM is not a variable of this program; did you mean OUTCROP_MAX_STREAMS?");
        assert!(told[1].starts_with("OUTCROP_SOMETHING_ELSE is not a variable"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
