//! DNS names of targets: looked up at start, and again as they expire.
//!
//! A name is one target at one address: the current one as long as it is among the answers, else the first A record, else
//! the first AAAA record. An address once known is kept while DNS does not answer.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, stream};
use hickory_resolver::{Resolver, TokioResolver, config::LookupIpStrategy, net::NetError};

use crate::config::{self, Config, Place};

/// Answers are believed at least and at most this long, whatever their TTL.
const SHORTEST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_hours(1);

/// After a failure a name is looked up again this soon.
const RETRY: Duration = Duration::from_secs(15);

/// Time for an answer, and how often it is asked for.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// Look-ups under way at once.
const AT_ONCE: usize = 128;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// DNS says that there is none.
    #[error("no such name, or no A or AAAA record for it; check the spelling, or give the address")]
    NoSuchName,
    /// DNS could not be asked.
    #[error("DNS does not answer ({0}); check /etc/resolv.conf")]
    NoAnswer(String),
}

/// The names of a fleet with their addresses.
pub struct Names {
    resolver: TokioResolver,
    known: HashMap<Box<str>, Name>,
}

#[derive(Debug)]
struct Name {
    address: Option<IpAddr>,
    /// Why the last look-up gave none.
    failure: Option<Unresolved>,
    /// When to look it up (again).
    due: Instant,
}

/// The answer to one look-up.
type Answer = Result<(Vec<IpAddr>, Instant), Unresolved>;

impl Names {
    /// Knows no name yet. Asks as the system's `/etc/resolv.conf` and `/etc/hosts` tell.
    pub fn new() -> anyhow::Result<Self> {
        let mut builder = Resolver::builder_tokio().context("reading /etc/resolv.conf")?;
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder.build().context("setting up the DNS resolver")?;
        Ok(Self {
            resolver,
            known: HashMap::new(),
        })
    }

    /// From now on these names are of interest, and no others. New ones are due at once.
    pub fn set<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut before = std::mem::take(&mut self.known);
        let due = Instant::now();
        self.known = names
            .map(|name| {
                let name = name.to_ascii_lowercase().into_boxed_str();
                let new = Name {
                    address: None,
                    failure: None,
                    due,
                };
                let known = before.remove(&name).unwrap_or(new);
                (name, known)
            })
            .collect();
    }

    /// From now on the names of this configuration are of interest. Looks up those that are new or due, and tells which DNS
    /// gave no answer for.
    ///
    /// # Errors
    /// When a name does not exist: with its place in the file.
    pub async fn check(
        &mut self,
        config: &Config,
        file: &Path,
    ) -> Result<Vec<(Box<str>, Unresolved)>, config::Errors> {
        self.set(config.names().map(|(name, _)| name));
        let (_, failures) = self.refresh().await;
        let (wrong, unanswered): (Vec<_>, Vec<_>) = failures
            .into_iter()
            .partition(|(_, failure)| *failure == Unresolved::NoSuchName);
        if wrong.is_empty() {
            return Ok(unanswered);
        }
        let lines = config.names().filter_map(|(name, place)| {
            let (_, failure) = wrong.iter().find(|(wrong, _)| **wrong == *name)?;
            let (file, Place { line, column }) = (file.display(), place);
            Some(format!("{file}:{line}:{column}: target {name}: {failure}"))
        });
        Err(config::Errors(lines.collect()))
    }

    /// The address of a name, if it is known.
    pub fn address(&self, name: &str) -> Option<IpAddr> {
        self.known.get(&*name.to_ascii_lowercase())?.address
    }

    /// When the next name is to be looked up.
    pub fn next_due(&self) -> Option<Instant> {
        self.known.values().map(|name| name.due).min()
    }

    /// Looks up every name that is due. Tells whether any address changed, and which names newly gave none: what goes on
    /// failing for the same reason is told once.
    pub async fn refresh(&mut self) -> (bool, Vec<(Box<str>, Unresolved)>) {
        let now = Instant::now();
        let due: Vec<Box<str>> = self
            .known
            .iter()
            .filter(|(_, name)| name.due <= now)
            .map(|(name, _)| name.clone())
            .collect();
        let resolver = &self.resolver;
        let answers: Vec<(Box<str>, Answer)> = stream::iter(due)
            .map(|name| async move {
                let answer = look_up(resolver, &name).await;
                (name, answer)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut changed = false;
        let mut failures = Vec::new();
        for (name, answer) in answers {
            let Some(known) = self.known.get_mut(&name) else {
                continue;
            };
            let before = known.address;
            if let Err(failure) = known.take(answer, Instant::now()) {
                failures.push((name.clone(), failure));
            }
            if known.address != before {
                changed = true;
                if let (Some(_), Some(address)) = (before, known.address) {
                    tracing::info!("{name} is now at {address}");
                }
            }
        }
        (changed, failures)
    }
}

impl Name {
    /// Takes in an answer that came `now`.
    fn take(&mut self, answer: Answer, now: Instant) -> Result<(), Unresolved> {
        match answer {
            Ok((addresses, valid_until)) => {
                self.failure = None;
                let left = valid_until.saturating_duration_since(now);
                self.due = now + left.clamp(SHORTEST, LONGEST);
                self.address = choose(self.address, &addresses);
                Ok(())
            }
            Err(failure) => {
                self.due = now + RETRY;
                if self.failure.as_ref() == Some(&failure) {
                    return Ok(());
                }
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }
}

fn choose(current: Option<IpAddr>, answers: &[IpAddr]) -> Option<IpAddr> {
    current
        .filter(|address| answers.contains(address))
        .or_else(|| answers.iter().copied().find(IpAddr::is_ipv4))
        .or_else(|| answers.first().copied())
}

async fn look_up(resolver: &TokioResolver, name: &str) -> Answer {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let addresses: Vec<IpAddr> = found.iter().collect();
            if addresses.is_empty() {
                return Err(Unresolved::NoSuchName);
            }
            Ok((addresses, found.valid_until()))
        }
        Err(error) if says_none(&error) => Err(Unresolved::NoSuchName),
        Err(error) => Err(Unresolved::NoAnswer(error.to_string())),
    }
}

fn says_none(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(addresses: &[&str]) -> Vec<IpAddr> {
        addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    #[test]
    fn the_current_address_stays_while_it_is_an_answer() {
        let answers = ips(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
        assert_eq!(choose(None, &answers), Some(answers[1]), "A before AAAA");
        assert_eq!(choose(Some(answers[2]), &answers), Some(answers[2]));
        assert_eq!(choose(Some(answers[2]), &answers[..2]), Some(answers[1]));
        assert_eq!(
            choose(None, &answers[..1]),
            Some(answers[0]),
            "AAAA where there is no A"
        );
    }

    #[test]
    fn answers_expire_and_failures_keep_the_address() {
        let now = Instant::now();
        let mut name = Name {
            address: None,
            failure: None,
            due: now,
        };
        let found = ips(&["192.0.2.1"]);
        name.take(Ok((found.clone(), now + Duration::from_mins(1))), now)
            .unwrap();
        assert_eq!(
            (name.address, name.due),
            (Some(found[0]), now + Duration::from_mins(1))
        );
        name.take(Ok((found.clone(), now)), now).unwrap();
        assert_eq!(name.due, now + SHORTEST);
        assert!(name.take(Err(Unresolved::NoSuchName), now).is_err());
        assert!(
            name.take(Err(Unresolved::NoSuchName), now).is_ok(),
            "told once"
        );
        assert_eq!((name.address, name.due), (Some(found[0]), now + RETRY));
    }

    #[tokio::test]
    async fn localhost_needs_no_server() {
        let mut names = Names::new().unwrap();
        names.set(["localhost"].into_iter());
        let (changed, failures) = names.refresh().await;
        assert!(changed && failures.is_empty(), "{failures:?}");
        assert!(
            names
                .address("localhost")
                .is_some_and(|address| address.is_loopback())
        );
        assert!(names.next_due().is_some_and(|due| due > Instant::now()));
        names.set(std::iter::empty());
        assert_eq!(names.address("localhost"), None);
    }
}
