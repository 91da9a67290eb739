//! Services that nobody configured: heard of by the prober, adopted where the configuration allows it.

use std::collections::HashSet;

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
        if self.strangers.is_empty() {
            return false;
        }
        let mut known: HashSet<_> = self.services.iter().map(|one| one.identity).collect();
        while let Ok(stranger) = self.strangers.try_recv() {
            if known.contains(&stranger.identity) {
                continue;
            }
            if self.services.len() < self.most {
                known.insert(stranger.identity);
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
        let services = fleet.services();
        let dead: HashSet<_> = services
            .filter(|&(number, _)| live.sessions.state(number) == State::Dead)
            .map(|(_, service)| service.identity)
            .collect();
        let mut services = self.services.clone();
        services.retain(|one| !dead.contains(&one.identity));
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
