//! Which targets have series of their own.

/// How much of the fleet metrics tell target by target; groups are told always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Every target.
    #[default]
    All,
    /// Those that are not up.
    Exceptions,
    /// None.
    Groups,
}

/// Above so many targets a Prometheus of usual size has better things to do than to store that they are up: there are up
/// to thirteen series a target.
const MOST_IN_DETAIL: usize = 100_000;

impl Detail {
    /// Every detail with the word of the configuration.
    pub const WORDS: [(&str, Self); 3] = [
        ("all", Self::All),
        ("exceptions", Self::Exceptions),
        ("groups", Self::Groups),
    ];

    /// What suits so many targets.
    pub const fn of(targets: usize) -> Self {
        if targets > MOST_IN_DETAIL {
            Self::Exceptions
        } else {
            Self::All
        }
    }

    /// The word of the configuration.
    pub const fn name(self) -> &'static str {
        Self::WORDS[self as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_in_the_order_of_the_details_and_size_decides() {
        for (word, detail) in Detail::WORDS {
            assert_eq!(detail.name(), word);
        }
        assert_eq!(Detail::of(100_000), Detail::All);
        assert_eq!(Detail::of(100_001), Detail::Exceptions);
    }
}
