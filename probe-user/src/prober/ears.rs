//! Whether this box can hear beats: while the interface that they come by is down, or where its buffer ran over, silence is
//! nobody's fault.

/// The box's interfaces, as far as beats can come by them.
#[derive(Debug, Default)]
pub struct Ears {
    links: Vec<Ear>,
    /// Until when beats were lost that may have come by any interface, ns.
    lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ear {
    interface: u32,
    works: bool,
    /// Since when it does, or does not, ns.
    since: u64,
    /// Whether the interface is no longer there.
    gone: bool,
}

impl Ears {
    /// These are the interfaces now (indices), and whether each works, from `now` (ns) on. One that has gone is taken for one that
    /// does not work until another comes up: an adapter that was plugged in again is a new one.
    pub fn set(&mut self, links: &[(u32, bool)], now: u64) {
        let mut next = Vec::with_capacity(links.len());
        let mut has_new = false;
        for &(interface, works) in links {
            let known = self.links.iter().find(|ear| ear.interface == interface);
            let same = known.filter(|ear| !ear.gone && ear.works == works);
            has_new |= works && same.is_none();
            next.push(same.copied().unwrap_or(Ear {
                interface,
                works,
                since: now,
                gone: false,
            }));
        }
        let is_gone = |ear: &&Ear| links.iter().all(|&(index, _)| index != ear.interface);
        let gone: Vec<_> = self.links.iter().filter(is_gone).copied().collect();
        if has_new && !gone.is_empty() {
            self.lost = now;
        } else {
            next.extend(gone.into_iter().map(|ear| Ear {
                works: false,
                since: if ear.gone { ear.since } else { now },
                gone: true,
                ..ear
            }));
        }
        self.links = next;
    }

    /// Beats were lost on this box, whosever they were, until then (ns).
    pub fn lose(&mut self, until: u64) {
        self.lost = until;
    }

    /// Since when (ns) beats that come by that interface are heard without a break, or `None` if they cannot be heard now. Of an
    /// interface that is not known (0, or one that was replaced) that is so as long as any works.
    pub fn hear(&self, interface: u32) -> Option<u64> {
        let known = self.links.iter().find(|ear| ear.interface == interface);
        let since = match known {
            Some(ear) if ear.works => ear.since,
            Some(_) => return None,
            None if self.links.is_empty() => 0,
            // The one that has worked for longest.
            None => {
                let working = self.links.iter().filter(|ear| ear.works);
                working.map(|ear| ear.since).min()?
            }
        };
        Some(since.max(self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_hears_since_it_works() {
        let mut ears = Ears::default();
        assert_eq!(ears.hear(3), Some(0), "nothing is known of any");
        ears.set(&[(3, true), (4, false)], 100);
        assert_eq!((ears.hear(3), ears.hear(4)), (Some(100), None));
        assert_eq!(ears.hear(0), Some(100), "one of them works");
        ears.set(&[(3, false), (4, true)], 200);
        assert_eq!((ears.hear(3), ears.hear(4)), (None, Some(200)));
        ears.set(&[(3, true), (4, true)], 300);
        assert_eq!((ears.hear(3), ears.hear(4)), (Some(300), Some(200)));
        assert_eq!(ears.hear(0), Some(200));
        ears.lose(400);
        assert_eq!(
            (ears.hear(3), ears.hear(4), ears.hear(0)),
            (Some(400), Some(400), Some(400))
        );
    }

    #[test]
    fn one_that_has_gone_is_deaf_until_another_comes_up() {
        let mut ears = Ears::default();
        ears.set(&[(1, true), (3, true)], 100);
        ears.set(&[(1, true)], 200);
        assert_eq!((ears.hear(3), ears.hear(1)), (None, Some(100)));
        ears.set(&[(1, true), (5, false)], 300);
        assert_eq!(ears.hear(3), None, "it is not up yet");
        ears.set(&[(1, true), (5, true)], 400);
        assert_eq!(ears.hear(3), Some(400));
        assert_eq!(ears.hear(5), Some(400));
    }
}
