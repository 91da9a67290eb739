//! A monitor that beats go to, and the address that its name has.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use probe_common::wire::BEAT_PORT;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::written::address::{self, What};

/// How often a name is looked up.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// The same while it does not resolve or the monitor does not answer.
const RETRY: Duration = Duration::from_secs(10);

/// A look-up that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A monitor by its name or address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// As it is written.
    pub text: Arc<str>,
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(Box<str>),
}

/// A monitor whose name is looked up now and again for as long as this lives.
#[derive(Debug)]
pub struct Recipient {
    /// As it is written.
    pub name: Arc<str>,
    /// `None` until the first look-up has ended.
    found: watch::Receiver<Option<Result<SocketAddr, String>>>,
    failing: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Name {
    /// Reads an address or a name, with a port where it is not 4863.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let written = address::parse(text)?;
        let host = match written.what {
            What::Ip(ip, _) => Host::Ip(ip),
            What::Name(name) => Host::Name(name.into()),
            What::Block(_) => {
                return Err(format!("{text} is a block; name the monitors one by one"));
            }
        };
        Ok(Self {
            text: text.into(),
            host,
            port: written.port.unwrap_or(BEAT_PORT),
        })
    }

    /// Whether both mean the same address or name, and port.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// Where it is now. Of several addresses the `last` one is kept while it serves, and left when it has `failed`.
    ///
    /// # Errors
    /// Why it cannot be told.
    async fn look_up(&self, last: Option<SocketAddr>, failed: bool) -> Result<SocketAddr, String> {
        let name = match &self.host {
            Host::Ip(ip) => return Ok((*ip, self.port).into()),
            Host::Name(name) => name,
        };
        let looking = tokio::net::lookup_host((&**name, self.port));
        let found: io::Result<Vec<SocketAddr>> = match timeout(PATIENCE, looking).await {
            Ok(found) => found.map(Iterator::collect),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let found = found.map_err(|error| format!("cannot resolve {name}: {error}"))?;
        let wanted = found
            .iter()
            .find(|address| (Some(**address) == last) != failed);
        wanted
            .or(found.first())
            .copied()
            .ok_or_else(|| format!("{name} has no address"))
    }
}

impl Recipient {
    /// Begins to look the name up.
    pub fn follow(name: Name) -> Self {
        let (tell, found) = watch::channel(match name.host {
            Host::Ip(ip) => Some(Ok((ip, name.port).into())),
            Host::Name(_) => None,
        });
        let failing = Arc::new(Notify::new());
        let text = name.text.clone();
        let task = matches!(name.host, Host::Name(_))
            .then(|| tokio::spawn(look_again_and_again(name, tell, failing.clone())));
        Self {
            name: text,
            found,
            failing,
            task,
        }
    }

    /// Where it is, if that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.found.borrow().as_ref()?.as_ref().ok().copied()
    }

    /// Waits for the first look-up: where it is, or why that is not known.
    pub async fn first_look(&mut self) -> Result<SocketAddr, String> {
        match self.found.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(found)) => found.clone(),
            _ => Err(format!("{} was not looked up", self.name)),
        }
    }

    /// Has the name looked up soon, since what is sent to its address fails.
    pub fn fails(&self) {
        self.failing.notify_one();
    }

    /// Whether a message from there is this monitor's.
    pub fn is_at(&self, from: SocketAddr) -> bool {
        let known = self.address();
        known.is_some_and(|at| (at.ip(), at.port()) == (from.ip(), from.port()))
    }
}

impl Drop for Recipient {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Tells the last address for as long as there is no newer one: a name server that is away silences nobody.
async fn look_again_and_again(
    name: Name,
    tell: watch::Sender<Option<Result<SocketAddr, String>>>,
    failing: Arc<Notify>,
) {
    let (mut known, mut failed, mut unknown) = (None, false, false);
    loop {
        let found = name.look_up(known, failed).await;
        match &found {
            Ok(address) => {
                if known.is_some_and(|known| known != *address) {
                    tracing::info!("{}: beats go to {address} from now on", name.text);
                }
                (known, unknown) = (Some(*address), false);
            }
            Err(error) if !unknown => {
                tracing::warn!("{error}");
                unknown = true;
            }
            Err(_) => {}
        }
        if found.is_ok() || known.is_none() {
            tell.send_replace(Some(found));
        }
        let pause = if unknown { RETRY } else { LOOK_AGAIN };
        failed = timeout(pause, failing.notified()).await.is_ok();
        if failed {
            sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_port_is_that_of_beats_unless_it_is_written() {
        assert_eq!(name("192.0.2.1").port, 4863);
        assert_eq!(name("[2001:db8::1]:5000").port, 5000);
        assert_eq!(
            name("mon-1.example.org:5000").host,
            Host::Name("mon-1.example.org".into())
        );
        assert!(Name::parse("192.0.2.0/24").unwrap_err().contains("block"));
        assert!(Name::parse("mon:port").is_err());
    }

    #[tokio::test]
    async fn an_address_is_known_at_once_and_a_name_after_the_first_look() {
        let mut ip = Recipient::follow(name("127.0.0.1:9"));
        assert_eq!(ip.address(), Some("127.0.0.1:9".parse().unwrap()));
        assert_eq!(ip.first_look().await, Ok("127.0.0.1:9".parse().unwrap()));
        assert!(ip.is_at("127.0.0.1:9".parse().unwrap()));
        assert!(!ip.is_at("127.0.0.1:8".parse().unwrap()));

        let mut local = Recipient::follow(name("localhost:9"));
        assert_eq!(local.address(), None);
        let found = local.first_look().await.unwrap();
        assert!(found.ip().is_loopback() && found.port() == 9);
        assert_eq!(local.address(), Some(found));
    }

    #[tokio::test]
    async fn of_several_addresses_the_last_is_kept_until_it_fails() {
        let name = name("localhost:9");
        let first = name.look_up(None, false).await.unwrap();
        assert_eq!(name.look_up(Some(first), false).await, Ok(first));
        // Where there is no other, the failed one is tried again.
        let other = name.look_up(Some(first), true).await.unwrap();
        assert!(other.ip().is_loopback());
    }
}
