//! A service: whether it works, and its beats.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Report, metrics::Metrics};
use crate::{config::agent as config, pulse::Pulse};

/// A service that beats while its check passes, or always if it has none.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its beats.
    pub pulse: Pulse,
    watched: Option<Watched>,
}

#[derive(Clone, Debug)]
struct Watched {
    /// What is checked, as text.
    check: String,
    /// A check that passed counts for so long.
    counts_for: Duration,
    /// When it last passed, if it has not failed since.
    passed: Option<Instant>,
    /// Whether the log says that it works; `None`: it says nothing yet.
    told: Option<bool>,
}

impl Service {
    /// A service without a check.
    pub fn new(name: &str, pulse: Pulse) -> Self {
        Self {
            name: name.to_owned(),
            pulse,
            watched: None,
        }
    }

    /// The same with these beats.
    pub fn with_pulse(&self, pulse: Pulse) -> Self {
        Self {
            pulse,
            ..self.clone()
        }
    }

    /// Has a task check it from now on. What the same check has found before still counts.
    pub fn watch(
        &mut self,
        wanted: config::Service,
        index: usize,
        tell: mpsc::Sender<Report>,
        checks: &mut JoinSet<()>,
    ) {
        let check = wanted.check.to_string();
        let before = self.watched.take().filter(|known| known.check == check);
        self.watched = Some(Watched {
            counts_for: wanted.interval + wanted.timeout,
            passed: before.as_ref().and_then(|before| before.passed),
            told: before.and_then(|before| before.told),
            check,
        });
        checks.spawn(watch(wanted, index, tell));
    }

    /// Whether it works, as far as is known.
    pub fn is_alive(&self, now: Instant) -> bool {
        self.watched.as_ref().is_none_or(|watched| {
            let passed = watched.passed;
            passed.is_some_and(|passed| now.duration_since(passed) <= watched.counts_for)
        })
    }

    /// Takes in what its check has found. Tells whether it works now and did not before.
    pub fn note(&mut self, outcome: Result<(), String>, now: Instant, metrics: &Metrics) -> bool {
        let before = self.is_alive(now);
        let Some(watched) = &mut self.watched else {
            return false;
        };
        watched.passed = outcome.is_ok().then_some(now);
        self.tell(outcome, metrics);
        !before && self.is_alive(now)
    }

    /// Says so if its check has not come to an end for too long.
    pub fn tell_if_overdue(&mut self, now: Instant, metrics: &Metrics) {
        let was_alive = self.watched.as_ref().is_some_and(|w| w.passed.is_some());
        if was_alive && !self.is_alive(now) {
            self.tell(Err("its check is overdue".into()), metrics);
        }
    }

    /// Each change once.
    fn tell(&mut self, outcome: Result<(), String>, metrics: &Metrics) {
        let name = &self.name;
        metrics.check(name, outcome.is_ok());
        let Some(watched) = &mut self.watched else {
            return;
        };
        let before = watched.told.replace(outcome.is_ok());
        if before == watched.told {
            return;
        }
        match outcome {
            Ok(()) => tracing::info!("{name} works: it beats ({})", watched.check),
            Err(why) => tracing::warn!("{name} does not work, its beats stop: {why}"),
        }
    }
}

/// Checks again and again until nobody listens.
async fn watch(wanted: config::Service, index: usize, tell: mpsc::Sender<Report>) {
    let mut tick = interval(wanted.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let outcome = wanted.check.run(wanted.timeout).await;
        if tell.send((index, outcome)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{Check, Command};

    fn wanted(program: &str) -> config::Service {
        config::Service {
            name: "a".into(),
            check: Check::Command(Command {
                argv: vec![program.into()],
            }),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        }
    }

    #[tokio::test]
    async fn it_is_alive_while_its_last_check_passed_and_is_not_too_old() {
        let metrics = Metrics::new();
        let pulse = Pulse::new("h", "a", Duration::ZERO, false, 1);
        let mut service = Service::new("a", pulse);
        let now = Instant::now();
        assert!(service.is_alive(now), "without a check it always is");

        let mut checks = JoinSet::new();
        let (tell, mut reports) = mpsc::channel(1);
        service.watch(wanted("true"), 3, tell.clone(), &mut checks);
        assert!(!service.is_alive(now), "nothing is known yet");
        assert_eq!(reports.recv().await, Some((3, Ok(()))));
        assert!(service.note(Ok(()), now, &metrics));
        assert!(!service.note(Ok(()), now, &metrics), "it did before");
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(service.is_alive(later(7)) && !service.is_alive(later(8)));

        service.watch(wanted("true"), 3, tell.clone(), &mut checks);
        assert!(service.is_alive(now), "the same check still counts");
        assert!(!service.note(Err("broken".into()), now, &metrics));
        assert!(!service.is_alive(now), "at once");
        assert!(service.note(Ok(()), now, &metrics));
        service.watch(wanted("false"), 3, tell, &mut checks);
        assert!(
            !service.is_alive(now),
            "another check has found nothing yet"
        );
    }
}
