//! The course of a simulation:
//!
//! 1. Until the monitor is ready nobody answers: a veth drops what XDP sends from its other end as long as it has no program
//!    itself, and that would pass for loss.
//! 2. Then all are well until each has been judged, so that from then on missed pings can be accounted for.
//! 3. Then all play their parts; when the first verdicts on that are due, the time begins that is reported.
//! 4. At its end all are well again until the last ping has been judged that the simulation left unanswered.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use probe_common::{
    maps::Reflector,
    simulation::{Part, Simulation},
    wire::{HEALTH_UNKNOWN, REFLECTOR_PORT},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use super::{
    fleet::{Fleet, WIRE},
    judge::{GRACE, Judge, Rules},
    late::LateHosts,
    monitor::Monitor,
    namespace::Namespace,
    report::{self, Counts, Report},
    usage::Usage,
};
use crate::{clock, kernel::simulate::SimulateKernel, reflector::listen};

/// Between two lines, ns; looks are not exactly in time.
const LINE: u64 = 900_000_000;

/// Lines between two heads of the table.
const LINES: usize = 30;

/// Until the monitor is ready.
const START: Duration = Duration::from_mins(2);

/// What is to be simulated, all of it known to be possible.
pub struct Plan {
    /// Where the hosts are.
    pub fleet: Fleet,
    /// What they do; it is not known yet when flapping begins, and when the outage is.
    pub simulation: Simulation,
    /// When the outage begins, after every host has been judged, and how long it lasts; ns.
    pub outage: Option<[u64; 2]>,
    /// By what the monitor judges.
    pub rules: Rules,
    /// What it is told.
    pub configuration: String,
    /// How long to look, once every host has been judged, ns.
    pub time: u64,
    /// Between two looks.
    pub look: Duration,
}

/// Runs the simulation until its time is over or the user has seen enough, and prints what it saw. Tells whether all was well.
/// To be called on the main thread, with which the monitor ends.
///
/// # Errors
/// When this machine cannot simulate, or the monitor ends by itself.
pub async fn run(plan: &Plan, stop: &mut mpsc::Receiver<()>) -> anyhow::Result<bool> {
    let kernel =
        SimulateKernel::load().context("loading the program that answers for the fleet")?;
    let [monitor, fleet] = namespaces()?;
    let mut course = Course::start(plan, kernel, &monitor, &fleet)?;
    if !course.is_ready(stop).await? {
        return Ok(true);
    }
    let good = course.watch(stop).await?;
    course.monitor.stop()?;
    let late = course.late.stop();
    late.context("the reflector of the late hosts could not go on")?;
    Ok(good)
}

/// A simulation under way.
struct Course<'a> {
    plan: &'a Plan,
    simulation: Simulation,
    kernel: SimulateKernel,
    late: LateHosts,
    monitor: Monitor<'a>,
}

impl<'a> Course<'a> {
    fn start(
        plan: &'a Plan,
        mut kernel: SimulateKernel,
        monitor: &'a Namespace,
        fleet: &Namespace,
    ) -> anyhow::Result<Self> {
        plan.fleet
            .plug(monitor, fleet)
            .context("setting up the network")?;
        let reflector = Reflector {
            health: HEALTH_UNKNOWN,
            port: REFLECTOR_PORT,
            ..Reflector::default()
        };
        let any = if plan.fleet.prefix.addr().is_ipv6() {
            SocketAddr::from(([0; 8], REFLECTOR_PORT))
        } else {
            SocketAddr::from(([0; 4], REFLECTOR_PORT))
        };
        let socket = fleet
            .enter(|| listen(any))
            .context("opening the socket of the late hosts")?;
        let late = LateHosts::start(socket, reflector, plan.rules.delay, plan.rules.timeout)?;
        kernel.set_reflector(&reflector)?;
        let mut all_dead = [0; Part::ILL.len()];
        all_dead[0] = plan.simulation.hosts;
        set_parts(&mut kernel, &plan.simulation, all_dead)?;
        fleet
            .enter(|| Ok(kernel.attach(WIRE)))?
            .context("answering at the fleet's end of the wire")?;
        let monitor = Monitor::start(monitor, &plan.configuration)?;
        println!(
            "monitor: process {0}; to look into its network: nsenter --net=/proc/{0}/ns/net",
            monitor.id()
        );
        Ok(Self {
            plan,
            simulation: plan.simulation,
            kernel,
            late,
            monitor,
        })
    }

    /// Waits until the monitor probes; `false` if the user does not want to.
    async fn is_ready(&mut self, stop: &mut mpsc::Receiver<()>) -> anyhow::Result<bool> {
        let until = Instant::now() + START;
        while !self.monitor.is_ready() {
            self.check_monitor()?;
            anyhow::ensure!(
                Instant::now() < until,
                "the monitor was not ready after {START:?}"
            );
            tokio::select! {
                _ = stop.recv() => return Ok(false),
                () = sleep(Duration::from_millis(50)) => {}
            }
        }
        Ok(true)
    }

    async fn watch(&mut self, stop: &mut mpsc::Receiver<()>) -> anyhow::Result<bool> {
        self.all_well()?;
        let rules = self.plan.rules;
        let begin = clock::monotonic() + rules.settles();
        let settled = begin + rules.interval + rules.warm_up();
        let mut judge = Judge::new(rules);
        // Pings that were missed without being left unanswered, before there were parts.
        let mut missed_before = None;
        let [mut before, mut now, mut first] = std::array::from_fn(|_| Counts::default());
        let mut tick = interval(self.plan.look);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lines = 0;
        loop {
            tokio::select! {
                _ = stop.recv() => break,
                _ = tick.tick() => {}
            }
            self.look(&mut now)?;
            let at = now.usage.at;
            judge.look(&self.simulation, &now.scrape);
            if missed_before.is_none() && at >= begin {
                missed_before = Some(now.unaccounted());
                self.simulation.begin = clock::monotonic();
                self.kernel.set(&self.simulation)?;
            }
            if before.usage.at == 0 {
                before.clone_from(&now);
                first.clone_from(&now);
            } else if at - before.usage.at >= LINE {
                if lines % LINES == 0 {
                    println!("{}", report::head());
                }
                lines += 1;
                let lost = missed_before.map_or(0, |before| now.lost_since(before));
                let time = at as i64 - settled as i64;
                let line = report::line(time, &now, &before, lost, judge.wrong.len());
                println!("{line}");
                before.clone_from(&now);
            }
            if judge.settled.is_none() && at >= settled {
                judge.settled = Some(at);
                first.clone_from(&now);
                if let Some([begin, lasts]) = self.plan.outage {
                    self.simulation.outage = [at + begin, at + begin + lasts];
                    self.kernel.set(&self.simulation)?;
                }
            }
            if judge
                .settled
                .is_some_and(|at| now.usage.at >= at + self.plan.time)
            {
                break;
            }
        }
        self.all_well()?;
        sleep(Duration::from_nanos(rules.timeout + GRACE)).await;
        self.look(&mut before)?;
        let report = Report {
            fleet: &self.simulation,
            rules,
            judge: &judge,
            counts: [&first, &now],
            closed: &before,
            lost: before.lost_since(missed_before.unwrap_or(0)),
            look: self.plan.look,
        };
        println!("\n{report}");
        Ok(report.is_good())
    }

    fn all_well(&mut self) -> anyhow::Result<()> {
        set_parts(&mut self.kernel, &self.simulation, [0; Part::ILL.len()])
    }

    /// Counts what can be counted now.
    fn look(&mut self, counts: &mut Counts) -> anyhow::Result<()> {
        self.check_monitor()?;
        self.monitor.scrape(&self.simulation, &mut counts.scrape)?;
        counts.replies = self.kernel.replies();
        counts.too_late = self.late.too_late();
        counts.usage = Usage::now(self.monitor.id());
        Ok(())
    }

    fn check_monitor(&mut self) -> anyhow::Result<()> {
        match self.monitor.ended()? {
            None => Ok(()),
            Some(status) => {
                anyhow::bail!("the monitor ended by itself: {status}; its log tells why")
            }
        }
    }
}

fn set_parts(
    kernel: &mut SimulateKernel,
    simulation: &Simulation,
    ill: [u32; Part::ILL.len()],
) -> anyhow::Result<()> {
    let simulation = Simulation { ill, ..*simulation };
    kernel
        .set(&simulation)
        .context("telling the fleet what to do")
}

/// Two networks; the first is the monitor's.
fn namespaces() -> anyhow::Result<[Namespace; 2]> {
    let new = || {
        Namespace::new().context("making a network namespace, which takes root or CAP_SYS_ADMIN")
    };
    Ok([new()?, new()?])
}
