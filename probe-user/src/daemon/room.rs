//! How much there is room for: the kernel's maps cannot grow while the daemon runs.

use crate::{fleet::Fleet, kernel, monitor::SPARE_GROUPS};

/// Rows beyond the first configuration's, for targets that reloads add: a quarter more, and at least these.
const SPARE_ROWS: usize = 4096;

/// Likewise for services.
const SPARE_SERVICES: usize = 4096;

/// Classes that there is room for at least.
const CLASSES: usize = 1024;

/// The most next hops, of which the number 0 is none.
const MOST_HOPS: usize = 65_536;

/// How large a fleet may become without a restart.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Numbers of targets, those at rest among them.
    pub targets: usize,
    services: usize,
    classes: usize,
    /// Numbers of groups, those that are gone among them.
    pub groups: usize,
}

impl Room {
    /// Of a fleet with so many services, and so many that may be adopted.
    pub fn of(fleet: &Fleet, services: usize, adopt: usize) -> Self {
        let spacious = |count: usize, spare| (count + count / 4).max(count + spare) + adopt;
        Self {
            targets: spacious(fleet.targets.len(), SPARE_ROWS),
            services: spacious(services, SPARE_SERVICES),
            classes: (2 * fleet.classes.len()).max(CLASSES),
            groups: fleet.groups.len() + SPARE_GROUPS,
        }
    }

    /// How many next hops the kernel has room for.
    pub fn hops(self) -> u32 {
        (self.targets + 1).min(MOST_HOPS) as u32
    }

    /// A row a target, and one a service.
    pub fn rows(self) -> u32 {
        (self.targets + self.services) as u32
    }

    /// Whether a fleet has room.
    ///
    /// # Errors
    /// With what there is no room for.
    pub fn check(self, fleet: &Fleet) -> anyhow::Result<()> {
        for (what, is, room) in [
            ("targets", fleet.targets.len(), self.targets),
            ("services", fleet.services.len(), self.services),
            ("policies", fleet.classes.len(), self.classes),
            ("groups", fleet.groups.len(), self.groups),
        ] {
            anyhow::ensure!(
                is <= room,
                "{is} {what}, those of earlier configurations included, and room for {room}: restart heartprobe to make room"
            );
        }
        Ok(())
    }

    /// What the kernel's programs have to have room for.
    pub fn of_kernel(self) -> kernel::Room {
        kernel::Room {
            rows: self.rows(),
            services: self.services as u32,
            classes: self.classes as u32,
            groups: self.groups as u32,
            hops: self.hops(),
        }
    }
}
