//! The schedule: when each target is due.
//!
//! For each interval there is a wheel of slots that covers it once. A target keeps its slot as long as it is
//! configured, so its phase outlives every reload; new targets take the slots in a mixed order, which spreads them
//! evenly over the interval and keeps neighbours (a rack, a block) apart in time.
//!
//! Of a small fleet several slots fall due together: each wake-up costs more than a few pings do.

use std::ops::RangeInclusive;

/// The shortest slot, ns: more often than each millisecond nothing is woken.
const SHORTEST_SLOT: u64 = 1_000_000;

/// Slots fall due together until they hold this many pings, or span [`LONGEST_TICK`].
const TICK_PINGS: usize = 64;

/// The longest time between the first and the last of the slots that fall due together, ns.
const LONGEST_TICK: u64 = 32_000_000;

/// Slots of a wheel at the most: of an hour's interval they are a second long.
const MOST_SLOTS: u64 = 4096;

/// Which targets are due at what time.
#[derive(Debug, Default)]
pub struct Schedule {
    wheels: Vec<Wheel>,
    /// Where each target stands, by its number; [`NOWHERE`] if it is not scheduled.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    wheel: u16,
    slot: u16,
}

const NOWHERE: Place = Place {
    wheel: u16::MAX,
    slot: 0,
};

#[derive(Debug)]
struct Wheel {
    interval: u64,
    slots: Vec<Vec<u32>>,
    /// Slots are filled in steps of this, which has no divisor in common with their number: each in turn.
    stride: usize,
    /// The slot that the next new target goes to.
    next_fill: usize,
    /// Slots that removed targets have left one place short.
    holes: Vec<u16>,
    /// How many slots have been handed out since time 0: slot `turn % slots` begins at `turn * interval / slots`.
    turn: u64,
    targets: usize,
    /// How many slots fall due together, when the last of them begins.
    tick: u64,
}

impl Schedule {
    /// A schedule with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Schedules `target` once every `interval` (ns, not 0) from `now` on. One that is scheduled with this
    /// interval already keeps its phase.
    pub fn set(&mut self, target: u32, interval: u64, now: u64) {
        let index = target as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, NOWHERE);
        }
        let place = self.places[index];
        if self
            .wheels
            .get(usize::from(place.wheel))
            .is_some_and(|w| w.interval == interval)
        {
            return;
        }
        self.remove(target);
        let wheel = self
            .wheels
            .iter()
            .position(|w| w.interval == interval)
            .unwrap_or_else(|| {
                self.wheels.push(Wheel::new(interval, now));
                self.wheels.len() - 1
            });
        let slot = self.wheels[wheel].insert(target);
        self.places[index] = Place {
            wheel: wheel as u16,
            slot,
        };
    }

    /// Takes `target` out; nothing happens if it is not in.
    pub fn remove(&mut self, target: u32) {
        let Some(place) = self.places.get_mut(target as usize) else {
            return;
        };
        let place = std::mem::replace(place, NOWHERE);
        if let Some(wheel) = self.wheels.get_mut(usize::from(place.wheel)) {
            wheel.remove(target, place.slot);
        }
    }

    /// Hands every target that has become due by `now` to `ping`, with the time (ns) at which it was due, in order
    /// within an interval. After a stall each target is handed out once at the most: what is a whole interval behind
    /// is left out, not sent in a burst.
    pub fn due(&mut self, now: u64, mut ping: impl FnMut(u32, u64)) {
        for wheel in &mut self.wheels {
            wheel.due(now, &mut ping);
        }
    }

    /// When the next target is due; `None` if there is none at all.
    pub fn next_due(&self) -> Option<u64> {
        self.wheels.iter().filter_map(Wheel::next_due).min()
    }
}

impl Wheel {
    fn new(interval: u64, now: u64) -> Self {
        let slots = (interval / SHORTEST_SLOT).clamp(1, MOST_SLOTS) as usize;
        let mut wheel = Self {
            interval,
            slots: vec![Vec::new(); slots],
            stride: coprime_near_golden(slots),
            next_fill: 0,
            holes: Vec::new(),
            turn: 0,
            targets: 0,
            tick: 1,
        };
        wheel.turn = wheel.turn_after(now);
        wheel
    }

    fn insert(&mut self, target: u32) -> u16 {
        let slot = self.holes.pop().map_or_else(
            || {
                let slot = self.next_fill;
                self.next_fill = (slot + self.stride) % self.slots.len();
                slot
            },
            usize::from,
        );
        self.slots[slot].push(target);
        self.targets += 1;
        self.set_tick();
        slot as u16
    }

    fn remove(&mut self, target: u32, slot: u16) {
        let targets = &mut self.slots[usize::from(slot)];
        if let Some(at) = targets.iter().position(|&t| t == target) {
            targets.swap_remove(at);
            self.holes.push(slot);
            self.targets -= 1;
            self.set_tick();
        }
    }

    fn set_tick(&mut self) {
        let enough = TICK_PINGS * self.slots.len() / self.targets.max(1);
        let most = LONGEST_TICK * self.slots.len() as u64 / self.interval;
        self.tick = (enough as u64).min(most).max(1);
    }

    /// When that turn's slot begins, ns.
    fn begin(&self, turn: u64) -> u64 {
        let slots = self.slots.len() as u64;
        turn / slots * self.interval + turn % slots * self.interval / slots
    }

    /// The turns from that of `turn`'s tick's first slot on to that of its last. A tick ends where the wheel does.
    fn tick_of(&self, turn: u64) -> RangeInclusive<u64> {
        let slots = self.slots.len() as u64;
        let slot = turn % slots;
        let first = slot - slot % self.tick;
        let last = (first + self.tick - 1).min(slots - 1);
        turn - slot + first..=turn - slot + last
    }

    /// The first turn that begins after `now`.
    fn turn_after(&self, now: u64) -> u64 {
        let slots = self.slots.len() as u64;
        let within = (now % self.interval) as u128 * u128::from(slots) / u128::from(self.interval);
        let turn = now / self.interval * slots + within as u64;
        // The division rounded down: the turn found may lie at `now` or before it, and so may the one after it.
        (turn..turn + 3)
            .find(|&turn| self.begin(turn) > now)
            .unwrap_or(turn + 3)
    }

    fn due(&mut self, now: u64, ping: &mut impl FnMut(u32, u64)) {
        let slots = self.slots.len() as u64;
        let end = *self.tick_of(self.turn_after(now)).start();
        self.turn = self.turn.max(end.saturating_sub(slots));
        while self.turn < end {
            let due_at = self.begin(*self.tick_of(self.turn).end());
            for &target in &self.slots[(self.turn % slots) as usize] {
                ping(target, due_at);
            }
            self.turn += 1;
        }
    }

    fn next_due(&self) -> Option<u64> {
        let slots = self.slots.len() as u64;
        (self.turn..self.turn + slots)
            .find(|turn| !self.slots[(turn % slots) as usize].is_empty())
            .map(|turn| self.begin(*self.tick_of(turn).end()))
    }
}

/// The number nearest to the golden section of `n` that has no divisor in common with it. Steps of the golden
/// section spread any number of points most evenly over a circle (Knuth, TAOCP 3, §6.4, theorem S).
fn coprime_near_golden(n: usize) -> usize {
    let golden = (n as f64 * 0.618_033_988_749_895) as usize;
    (0..n)
        .flat_map(|off| [golden + off, golden.saturating_sub(off)])
        .find(|&step| step > 0 && greatest_common_divisor(step, n) == 1)
        .unwrap_or(1)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests;
