//! The targets that have services, with what has to be known of pings to judge both together.

/// What is known of each target with services.
#[derive(Default)]
pub(super) struct Hosts {
    /// By target number: which of the list; [`NONE`] for one without services. Empty as long as nobody has any.
    places: Vec<u32>,
    list: Vec<Host>,
    free: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// A target with services.
#[derive(Default)]
pub(super) struct Host {
    /// Their numbers.
    pub(super) services: Vec<u32>,
    /// When the last ping was sent that it answered, ns.
    pub(super) answered: u64,
    /// When the first was sent of those that it missed last, ns.
    pub(super) missed: u64,
}

impl Hosts {
    pub(super) fn add(&mut self, target: u32, service: u32) {
        let at = target as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NONE);
        }
        if self.places[at] == NONE {
            self.places[at] = self.free.pop().unwrap_or_else(|| {
                self.list.push(Host::default());
                self.list.len() as u32 - 1
            });
        }
        self.list[self.places[at] as usize].services.push(service);
    }

    pub(super) fn remove(&mut self, target: u32, service: u32) {
        let Some(place) = self.place(target) else {
            return;
        };
        let host = &mut self.list[place];
        host.services.retain(|&known| known != service);
        if host.services.is_empty() {
            *host = Host::default();
            self.free.push(place as u32);
            self.places[target as usize] = NONE;
        }
    }

    /// What is known of a target; `None` if it has no services.
    pub(super) fn get(&self, target: u32) -> Option<&Host> {
        self.place(target).map(|place| &self.list[place])
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, target: u32) -> Option<&mut Host> {
        self.place(target).map(|place| &mut self.list[place])
    }

    fn place(&self, target: u32) -> Option<usize> {
        let place = *self.places.get(target as usize)?;
        (place != NONE).then_some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_known_as_long_as_it_has_services() {
        let mut hosts = Hosts::default();
        assert!(hosts.get(5).is_none());
        hosts.add(5, 1);
        hosts.add(5, 2);
        hosts.add(7, 3);
        hosts.get_mut(5).unwrap().answered = 9;
        hosts.remove(5, 1);
        assert_eq!(hosts.get(5).unwrap().services, [2]);
        hosts.remove(5, 2);
        assert!(hosts.get(5).is_none() && hosts.get(6).is_none());
        hosts.add(8, 4);
        let reused = hosts.get(8).unwrap();
        assert_eq!((reused.answered, &*reused.services), (0, &[4][..]));
    }
}
