//! What became of each target's last pings by each path, written by the prober alone. Nothing is kept where there is one path.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use probe_common::ports::MOST_PATHS;

use crate::core::path::{History, worst};

/// A history for each path of each target.
#[derive(Debug)]
pub struct Paths {
    paths: usize,
    histories: Box<[AtomicU32]>,
}

/// The path of a target that loses more than its others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// Its number.
    pub path: u32,
    /// The share of its pings that is lost, of 1.
    pub loss: f64,
}

impl Paths {
    /// Of so many targets, with so many paths each.
    pub fn new(targets: usize, paths: u16) -> Self {
        let paths = usize::from(paths.clamp(1, MOST_PATHS));
        let kept = if paths == 1 { 0 } else { targets * paths };
        Self {
            paths,
            histories: (0..kept).map(|_| AtomicU32::default()).collect(),
        }
    }

    /// Notes what became of a ping by a path, which is below the number of paths. For the prober alone.
    pub fn note(&self, target: u32, path: u32, lost: bool) {
        if let Some(history) = self.of(target).get(path as usize) {
            let next = History::from_bits(history.load(Relaxed)).with(lost);
            history.store(next.to_bits(), Relaxed);
        }
    }

    /// Forgets a target: its number may be given to another. For the prober alone.
    pub fn clear(&self, target: u32) {
        for history in self.of(target) {
            history.store(0, Relaxed);
        }
    }

    /// The path of a target that loses more than its others, if one does.
    pub fn worst(&self, target: u32) -> Option<Worst> {
        let mut histories = [History::default(); MOST_PATHS as usize];
        let of = self.of(target);
        for (to, history) in histories.iter_mut().zip(of) {
            *to = History::from_bits(history.load(Relaxed));
        }
        let (path, loss) = worst(&histories[..of.len()])?;
        let path = path as u32;
        Some(Worst { path, loss })
    }

    fn of(&self, target: u32) -> &[AtomicU32] {
        let first = target as usize * self.paths;
        self.histories
            .get(first..first + self.paths)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_its_own_paths() {
        let paths = Paths::new(3, 4);
        for _ in 0..20 {
            for path in 0..4 {
                paths.note(1, path, path == 2);
                paths.note(2, path, false);
            }
        }
        let worst = Worst { path: 2, loss: 1.0 };
        let all = [0, 1, 2].map(|target| paths.worst(target));
        assert_eq!(all, [None, Some(worst), None]);
        paths.clear(1);
        assert_eq!(paths.worst(1), None);
    }

    #[test]
    fn one_path_is_not_kept() {
        let paths = Paths::new(1_000, 1);
        paths.note(7, 0, true);
        assert!(paths.histories.is_empty());
        assert_eq!(paths.worst(7), None);
    }
}
