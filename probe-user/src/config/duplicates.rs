//! What must not be there twice: a beat tells host and service, so no two targets of one host can have the same service.

use std::{collections::HashMap, fmt};

use super::{Host, Place, groups::Groups, problem::Problems};

/// One problem for each two places that give the same service of the same host.
pub(super) fn find_services(groups: &Groups, problems: &mut Problems) {
    let mut known: HashMap<(&Host, &str), Place> = HashMap::new();
    for target in &groups.targets {
        // Of a problem with its settings it may have no class.
        let Some(class) = groups.classes.get(usize::from(target.class)) else {
            continue;
        };
        for service in class.services.iter() {
            let before = known.insert((&target.host, &service.name), target.place);
            if let Some(before) = before {
                let what = format!(
                    "service {} of {} is there already for the target at {}; a beat could not tell which it is for: write services: [] in one of the groups",
                    service.name,
                    Shown(&target.host),
                    problems.name(before)
                );
                problems.add(target.place, "services", what);
            }
        }
    }
}

struct Shown<'a>(&'a Host);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Host::Ip(ip) => ip.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}
