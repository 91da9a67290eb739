//! When the monitor itself could not hear: its link was down, or its socket's buffer ran over. A ping that was out
//! meanwhile is not missed: nobody can tell.

/// The longest a ping is out, ns: what ended before that is forgotten.
const LONGEST: u64 = 10_000_000_000;

/// The monitor's own recent outages.
#[derive(Debug, Default)]
pub struct Outages {
    recent: Vec<Outage>,
    /// When the last outage of each interface ended, for sessions, which may be longer than pings are out.
    ends: Vec<(u32, u64)>,
    /// When beats were last lost on this box.
    beats_lost: u64,
}

#[derive(Debug)]
struct Outage {
    /// Index of the interface; `None`: all of them.
    interface: Option<u32>,
    from: u64,
    until: Option<u64>,
}

impl Outages {
    /// An interface works, or no longer does, from `now` (ns) on.
    pub fn set_link(&mut self, interface: u32, works: bool, now: u64) {
        self.forget(now);
        let open = self
            .recent
            .iter_mut()
            .find(|o| o.interface == Some(interface) && o.until.is_none());
        match (open, works) {
            (Some(outage), true) => {
                outage.until = Some(now);
                self.ends.retain(|(index, _)| *index != interface);
                self.ends.push((interface, now));
            }
            (None, false) => {
                self.recent.push(Outage {
                    interface: Some(interface),
                    from: now,
                    until: None,
                });
            }
            _ => {}
        }
    }

    /// Pongs were lost on this box, whosever they were, some time between `from` and `until` (ns).
    pub fn lost_pongs(&mut self, from: u64, until: u64) {
        self.forget(until);
        self.recent.push(Outage {
            interface: None,
            from,
            until: Some(until),
        });
    }

    /// Beats were lost on this box, whosever they were, until then (ns).
    pub fn lost_beats(&mut self, until: u64) {
        self.beats_lost = until;
    }

    /// Since when (ns) beats that come by `interface` can be heard again after the last outage, 0 if there was none, and whether they
    /// cannot be heard now. Interface 0 is not known: then it may be any.
    pub fn hears_since(&self, interface: u32) -> (u64, bool) {
        let is_meant = |index: u32| interface == 0 || index == interface;
        let ends = self.ends.iter().filter(|(index, _)| is_meant(*index));
        let last = ends.map(|(_, end)| *end).max().unwrap_or(0);
        let lasts = self
            .recent
            .iter()
            .any(|outage| outage.until.is_none() && outage.interface.is_none_or(is_meant));
        (last.max(self.beats_lost), lasts)
    }

    /// Whether the pong of a ping that left by `interface` may have been lost here between `sent` and `judged` (ns).
    pub fn hid(&self, interface: u32, sent: u64, judged: u64) -> bool {
        self.recent.iter().any(|outage| {
            outage.interface.is_none_or(|index| index == interface)
                && outage.from <= judged
                && outage.until.is_none_or(|until| until >= sent)
        })
    }

    /// Whether an outage lasts.
    pub fn last(&self) -> bool {
        self.recent.iter().any(|outage| outage.until.is_none())
    }

    fn forget(&mut self, now: u64) {
        self.recent
            .retain(|outage| outage.until.is_none_or(|until| until + LONGEST > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pings_that_were_out_meanwhile_are_hidden() {
        let mut outages = Outages::default();
        outages.set_link(3, false, 100);
        assert!(outages.hid(3, 50, 150), "sent before, judged within");
        assert!(outages.hid(3, 120, 900), "sent within, and it lasts");
        assert!(!outages.hid(3, 10, 90), "judged before it began");
        assert!(!outages.hid(4, 50, 150), "left by another link");
        assert!(outages.last());
        outages.set_link(3, true, 200);
        assert!(outages.hid(3, 199, 300));
        assert!(!outages.hid(3, 201, 300), "sent after its end");
        assert!(!outages.last());
    }

    #[test]
    fn beats_are_heard_again_since_the_end_of_the_last_outage() {
        let mut outages = Outages::default();
        assert_eq!(outages.hears_since(3), (0, false));
        outages.set_link(3, false, 100);
        assert_eq!(outages.hears_since(3), (0, true));
        assert_eq!(outages.hears_since(0), (0, true), "it may be that one");
        assert_eq!(outages.hears_since(4), (0, false));
        outages.set_link(3, true, 200);
        assert_eq!(outages.hears_since(3), (200, false));
        outages.lost_pongs(LONGEST * 9, LONGEST * 10);
        assert_eq!(outages.hears_since(3), (200, false), "kept for good");
        outages.lost_beats(LONGEST * 10);
        assert_eq!(outages.hears_since(4), (LONGEST * 10, false));
    }

    #[test]
    fn lost_pongs_may_be_anyones() {
        let mut outages = Outages::default();
        outages.lost_pongs(100, 200);
        assert!(outages.hid(1, 150, 1150) && outages.hid(2, 50, 150));
        assert!(!outages.hid(1, 201, 300));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut outages = Outages::default();
        for i in 0..1000 {
            outages.lost_pongs(i * 1_000_000_000, i * 1_000_000_000 + 1);
        }
        assert!(outages.recent.len() < 12);
    }
}
