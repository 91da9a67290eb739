//! A host and its services: one verdict of what pings and beats tell. `docs/verdicts.md` has it as a table.
//!
//! Pings tell whether the host answers, beats whether its services live. Where they disagree, what was heard last decides: a
//! service that ended before the host's last pong makes a zombie of it; a beat that came after the first missed ping shows
//! that it is not dead.

use super::verdict::State;

/// What is known of the services of a host, all of them together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and all combinations have a meaning"
)]
pub struct Services {
    /// One lives: its beats come.
    pub up: bool,
    /// One is silent for longer than it should be, and its session goes on.
    pub overdue: bool,
    /// One's session has ended.
    pub ended: bool,
    /// Of one the monitor cannot tell.
    pub unknown: bool,
    /// The beats tell that the host is overloaded; known of a host that is not pinged.
    pub loaded: bool,
    /// The host answered a ping that was sent after the last beat of one that ended.
    pub outlived: bool,
    /// A beat of one that lives came after the first of the pings that were missed.
    pub arrive: bool,
}

impl Services {
    /// Takes in one more service in this state.
    pub fn add(&mut self, state: State) {
        match state {
            State::Up | State::Overloaded => self.up = true,
            State::Critical => self.overdue = true,
            State::Dead | State::Zombie => self.ended = true,
            State::Unknown => self.unknown = true,
            State::Pending => {}
        }
    }
}

/// The verdict on a host that pings hold to be in state `pings` (`None`: it is not pinged), that has these services, and on which
/// the verdict was `before`.
pub fn verdict(pings: Option<State>, services: Services, before: State) -> State {
    match pings {
        Some(answers @ (State::Up | State::Overloaded)) => match services {
            Services {
                ended: true,
                outlived: true,
                ..
            } => State::Zombie,
            // That the host outlives it has been seen already; one lost ping does not make that undone.
            Services { ended: true, .. } if before == State::Zombie => State::Zombie,
            // Both may have gone: the next pings will tell.
            _ => answers,
        },
        Some(State::Dead) if services.arrive => State::Critical,
        Some(pings) => pings,
        None => of_beats(services),
    }
}

/// The verdict by beats alone.
fn of_beats(services: Services) -> State {
    match services {
        Services {
            ended: true,
            up,
            overdue,
            ..
        } if up || overdue => State::Zombie,
        Services {
            up: true, loaded, ..
        } if loaded => State::Overloaded,
        Services { up: true, .. } => State::Up,
        Services { overdue: true, .. } => State::Critical,
        Services { unknown: true, .. } => State::Unknown,
        Services { ended: true, .. } => State::Dead,
        _ => State::Pending,
    }
}

#[cfg(test)]
mod tests;
