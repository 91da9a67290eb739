//! Two network namespaces and a veth pair between them: the monitor's side and the fleet's.
//!
//! Neither has a default route, so no ping of a test can leave the machine.
//!
//! | addresses | what answers there |
//! | --- | --- |
//! | 198.18.0.1, 2001:db8::1 | the monitor |
//! | 198.18.0.2, 2001:db8::2 | the fleet's end of the wire |
//! | 198.19.0.0/16, 2001:db8:1::/48 | the fleet: every address is local there, for sockets to bind to |
//! | 198.18.64.0/18, 2001:db8:2::/48 | nobody but a [`crate::raw::Responder`]: the fleet's kernel is silent |

use std::{
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::{
        Once,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The name of the wire's end in both namespaces.
pub const WIRE: &str = "hp0";

/// Two namespaces with a wire between them, gone when this is dropped.
#[derive(Debug)]
pub struct Net {
    /// Where the daemon runs.
    pub monitor: Namespace,
    /// Where its targets are.
    pub fleet: Namespace,
}

/// A network namespace, gone when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Net {
    /// A new network, its wire plugged in.
    #[expect(
        clippy::new_without_default,
        reason = "it makes namespaces: not a value that something defaults to"
    )]
    pub fn new() -> Self {
        static SWEEP: Once = Once::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(sweep);
        let number = NUMBER.fetch_add(1, Relaxed);
        let side = |side| Namespace::new(format!("hp-{}-{number}-{side}", std::process::id()));
        let net = Self {
            monitor: side("mon"),
            fleet: side("fleet"),
        };
        net.plug();
        // What comes for these addresses is for raw sockets to see: the fleet's kernel must not answer for them.
        net.fleet.ip("route add blackhole 198.18.64.0/18");
        net.fleet.ip("-6 route add blackhole 2001:db8:2::/48");
        net.fleet.ip("route add local 198.19.0.0/16 dev lo");
        net.fleet.ip("-6 route add local 2001:db8:1::/48 dev lo");
        // For IPv6 a local route alone does not let a socket bind to an address of the prefix.
        net.fleet.sysctl("net/ipv6/ip_nonlocal_bind", "1");
        net
    }

    /// Puts the wire in, with its addresses and routes.
    pub fn plug(&self) {
        let (monitor, fleet) = (&self.monitor, &self.fleet);
        ip(&format!(
            "link add {WIRE} netns {} type veth peer name {WIRE} netns {}",
            monitor.name, fleet.name
        ));
        for side in [monitor, fleet] {
            side.ip(&format!("link set {WIRE} up"));
        }
        // With it the fleet's end takes frames from the monitor's XDP, as network cards do.
        fleet.run("ethtool", &["-K", WIRE, "gro", "on"]);
        // Now that both ends are up: an IPv6 address given before answers nobody for the first second.
        monitor.ip(&format!("addr add 198.18.0.1/24 dev {WIRE}"));
        fleet.ip(&format!("addr add 198.18.0.2/24 dev {WIRE}"));
        fleet.ip(&format!("addr add 2001:db8::2/64 dev {WIRE} nodad"));
        self.route();
    }

    /// Gives the monitor its way to the fleet, which it loses when its end of the wire goes down.
    pub fn route(&self) {
        // With IPv6 the address is lost, too.
        self.monitor
            .ip(&format!("addr replace 2001:db8::1/64 dev {WIRE} nodad"));
        for prefix in ["198.19.0.0/16", "198.18.64.0/18"] {
            self.monitor
                .ip(&format!("route replace {prefix} via 198.18.0.2"));
        }
        for prefix in ["2001:db8:1::/48", "2001:db8:2::/48"] {
            self.monitor
                .ip(&format!("-6 route replace {prefix} via 2001:db8::2"));
        }
    }

    /// Takes the wire out: the interface is gone on both sides, with its addresses and routes.
    pub fn unplug(&self) {
        self.monitor.ip(&format!("link del {WIRE}"));
    }
}

impl Namespace {
    fn new(name: String) -> Self {
        ip(&format!("netns add {name}"));
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside the namespace. Sockets that it opens and processes that it starts stay there.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let path = Path::new("/run/netns").join(&self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(&path).expect("the namespace stands");
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter the namespace");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` with these arguments inside the namespace; they are split at white space.
    pub fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// Sets a parameter of the namespace's network stack, named by its path.
    pub fn sysctl(&self, parameter: &str, value: &str) {
        let path = Path::new("/proc/sys").join(parameter);
        self.enter(|| fs::write(&path, value))
            .unwrap_or_else(|error| panic!("{parameter}: {error}"));
    }

    /// Runs a program inside the namespace and returns what it printed; panics if it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.enter(|| run(Command::new(program).args(arguments)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Removes what test runs that were killed have left behind: namespaces named after a process that is no more.
fn sweep() {
    for line in ip("netns list").lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let pid = name
            .strip_prefix("hp-")
            .and_then(|rest| rest.split('-').next());
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new(&format!("/proc/{pid}")).exists() {
            continue;
        }
        // Other test processes may sweep at the same time: what is gone already is no failure.
        if let Ok(inside) = Command::new("ip").args(["netns", "pids", name]).output() {
            for pid in String::from_utf8_lossy(&inside.stdout).split_whitespace() {
                let _ = Command::new("kill").args(["-KILL", pid]).output();
            }
        }
        delete(name);
    }
}

fn delete(name: &str) {
    let _ = Command::new("ip").args(["netns", "del", name]).output();
}

fn ip(arguments: &str) -> String {
    run(Command::new("ip").args(arguments.split_whitespace()))
}

fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
