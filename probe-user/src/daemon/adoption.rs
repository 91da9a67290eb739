//! Services that nobody configured: heard of by the prober, adopted where the configuration allows it.

use tokio::sync::mpsc;

use crate::{
    config::Beats,
    core::verdict::State,
    fleet::{Adopted, Fleet},
    snapshot::Live,
};

/// Strangers that the prober has told and that are not adopted yet.
const WAITING: usize = 4096;

/// Who is adopted, and who may be.
pub struct Adoption {
    strangers: mpsc::Receiver<Adopted>,
    services: Vec<Adopted>,
    most: usize,
    told_full: bool,
}

impl Adoption {
    /// Nobody is adopted yet. The first is for the prober, which tells whom it hears.
    pub fn new(beats: Beats) -> (mpsc::Sender<Adopted>, Self) {
        let (sender, strangers) = mpsc::channel(WAITING);
        let adoption = Self {
            strangers,
            services: Vec::new(),
            most: beats.adopt as usize,
            told_full: false,
        };
        (sender, adoption)
    }

    /// All that are adopted.
    pub fn services(&self) -> &[Adopted] {
        &self.services
    }

    /// Adopts whoever was heard of since the last time, as far as that is allowed. Tells whether anybody was.
    pub fn hear(&mut self) -> bool {
        let before = self.services.len();
        while let Ok(stranger) = self.strangers.try_recv() {
            let is_known = |known: &Adopted| known.identity == stranger.identity;
            if self.services.iter().any(is_known) {
                continue;
            }
            if self.services.len() < self.most {
                self.services.push(stranger);
            } else if self.most > 0 && !std::mem::replace(&mut self.told_full, true) {
                tracing::warn!(
                    "more services beat that nobody configured than services.auto_most allows ({}): the others are not judged",
                    self.most
                );
            }
        }
        self.services.len() > before
    }

    /// Adopts nobody more: there is no room.
    pub fn stop(&mut self) {
        self.most = self.services.len();
    }

    /// Whom it leaves adopted when the configuration is read anew: those that are dead are forgotten, and all if nobody is to be
    /// adopted any more.
    pub fn after(&self, beats: Beats, fleet: &Fleet, live: &Live) -> Vec<Adopted> {
        let is_dead = |one: &Adopted| {
            let mut services = fleet.services();
            let number = services.find(|(_, service)| service.identity == one.identity);
            number.is_some_and(|(number, _)| live.sessions.state(number) == State::Dead)
        };
        let mut services = self.services.clone();
        services.retain(|one| !is_dead(one));
        services.truncate(beats.adopt as usize);
        services
    }

    /// The configuration is at work that leaves these adopted.
    pub fn set(&mut self, services: Vec<Adopted>, beats: Beats) {
        self.services = services;
        self.most = beats.adopt as usize;
        self.told_full = false;
    }
}
