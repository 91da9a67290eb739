//! What people write, in files and on command lines: addresses, names and blocks, durations, and words that are nearly right.

pub mod address;
pub mod duration;

/// The known word that a misspelt one is closest to, if it is close at all.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .min()
        .filter(|&(distance, candidate)| distance <= (candidate.len() / 3).max(1))
        .map(|(_, candidate)| candidate)
}
