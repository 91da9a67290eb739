//! When the monitor itself could not hear: its link was down, or its socket's buffer ran over. A ping that was out
//! meanwhile is not missed: nobody can tell.

/// The longest a ping is out, ns: what ended before that is forgotten.
const LONGEST: u64 = 10_000_000_000;

/// The monitor's own recent outages.
#[derive(Debug, Default)]
pub struct Outages(Vec<Outage>);

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
            .0
            .iter_mut()
            .find(|o| o.interface == Some(interface) && o.until.is_none());
        match (open, works) {
            (Some(outage), true) => outage.until = Some(now),
            (None, false) => {
                self.0.push(Outage {
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
        self.0.push(Outage {
            interface: None,
            from,
            until: Some(until),
        });
    }

    /// Whether the pong of a ping that left by `interface` may have been lost here between `sent` and `judged` (ns).
    pub fn hid(&self, interface: u32, sent: u64, judged: u64) -> bool {
        self.0.iter().any(|outage| {
            outage.interface.is_none_or(|index| index == interface)
                && outage.from <= judged
                && outage.until.is_none_or(|until| until >= sent)
        })
    }

    /// Whether an outage lasts.
    pub fn last(&self) -> bool {
        self.0.iter().any(|outage| outage.until.is_none())
    }

    fn forget(&mut self, now: u64) {
        self.0
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
        assert!(outages.0.len() < 12);
    }
}
