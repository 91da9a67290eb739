//! Complaints: what goes wrong again and again is said at once, and then no more than once a minute, with how often.

/// Between two lines about the same thing, ns.
const AGAIN: u64 = 60_000_000_000;

/// When each kind of trouble was last told, and how often it has come since.
#[derive(Debug)]
pub struct Complaints<K>(Vec<Complaint<K>>);

#[derive(Debug)]
struct Complaint<K> {
    kind: K,
    told_at: u64,
    since: u64,
}

impl<K> Default for Complaints<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Complaints<K> {
    /// Trouble of this kind came at `now` (ns). If it is to be told now: how often it came since it was last told,
    /// this time included.
    pub fn count(&mut self, kind: K, now: u64) -> Option<u64> {
        let Some(known) = self.0.iter_mut().find(|known| known.kind == kind) else {
            self.0.push(Complaint {
                kind,
                told_at: now,
                since: 0,
            });
            return Some(1);
        };
        known.since += 1;
        if now.saturating_sub(known.told_at) < AGAIN {
            return None;
        }
        known.told_at = now;
        Some(std::mem::take(&mut known.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_at_once_then_once_a_minute() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.count("full", 5), Some(1));
        assert_eq!(complaints.count("no route", 6), Some(1), "another kind");
        for i in 0..10 {
            assert_eq!(complaints.count("full", 10 + i), None);
        }
        assert_eq!(complaints.count("full", AGAIN + 5), Some(11));
        assert_eq!(complaints.count("full", AGAIN + 6), None);
    }
}
