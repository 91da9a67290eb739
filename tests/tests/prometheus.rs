//! What a real Prometheus makes of the daemon's metrics.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use heartprobe_tests::{
    behaviour::{answer, silent, slow},
    config::{LATE, fleet},
    daemon::{Daemon, State},
    http,
    net::{Namespace, Net},
    peer::Host,
    process::{Process, poll},
    require_root,
};
use serde_json::Value;
use tempfile::TempDir;

/// Until Prometheus stands and has scraped what a query asks for.
const SCRAPED: Duration = Duration::from_secs(30);

/// A Prometheus that scrapes the daemon.
struct Prometheus<'net> {
    namespace: &'net Namespace,
    process: Process,
    _folder: TempDir,
}

impl<'net> Prometheus<'net> {
    fn scraping_daemon(namespace: &'net Namespace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let jobs = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\n\
             scrape_configs: [{{job_name: heartprobe, static_configs: [{{targets: ['{}']}}]}}]\n",
            Daemon::web()
        );
        fs::write(&config, jobs).unwrap();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={}", Self::web()));
        let process = Process::start(namespace, &mut command);
        Self {
            namespace,
            process,
            _folder: folder,
        }
    }

    fn web() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9090))
    }

    /// The values that a query gives; none while Prometheus does not stand yet.
    fn query(&self, query: &str) -> Vec<String> {
        let encoded: Vec<_> = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let path = format!("/api/v1/query?query={}", encoded.concat());
        let Ok(page) = http::get(self.namespace, Self::web(), &path) else {
            return Vec::new();
        };
        let Ok(answer) = serde_json::from_str::<Value>(&page.body) else {
            return Vec::new();
        };
        let results = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        results
            .iter()
            .filter_map(|result| Some(result["value"][1].as_str()?.to_owned()))
            .collect()
    }

    /// Waits until a query gives these values.
    fn until(&self, query: &str, values: &[&str]) {
        let seen = || self.query(query);
        poll(SCRAPED, || (seen() == values).then_some(())).unwrap_or_else(|| {
            panic!(
                "{query}: {:?} in place of {values:?}\n{}",
                seen(),
                self.process.stderr()
            )
        });
    }
}

#[test]
fn a_real_prometheus_answers_queries_about_the_fleet() {
    require_root!("prometheus");
    let net = Net::new();
    let hosts = ["198.19.0.1", "2001:db8:1::1", "198.19.0.2", "198.19.0.3"];
    let fleet_hosts = hosts.map(|host| Host::start(&net.fleet, host));
    fleet_hosts[2].now(slow(LATE));
    fleet_hosts[3].now(silent());
    let daemon = Daemon::run(&net.monitor, &fleet(&hosts));
    daemon.until_state("198.19.0.3", State::Dead);

    let prometheus = Prometheus::scraping_daemon(&net.monitor);
    prometheus.until("up", &["1"]);
    prometheus.until("count(heartprobe_target_up == 1)", &["3"]);
    prometheus.until("count(heartprobe_target_state)", &["4"]);
    prometheus.until("heartprobe_targets{group='test', state='dead'}", &["1"]);
    prometheus.until("sum(heartprobe_targets)", &["4"]);
    prometheus.until("heartprobe_target_state{target='198.19.0.2'}", &["2"]);
    prometheus.until(
        "sum(rate(heartprobe_target_pongs_total[10s])) > bool 0",
        &["1"],
    );
    prometheus.until(
        "histogram_quantile(0.5, rate(heartprobe_rtt_seconds_bucket[10s])) < bool 1",
        &["1"],
    );

    fleet_hosts[3].now(answer());
    prometheus.until("count(heartprobe_target_up == 1)", &["4"]);
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    require_root!("promtool");
    let net = Net::new();
    let _host = Host::start(&net.fleet, "198.19.0.1");
    let daemon = Daemon::run(&net.monitor, &fleet(&["198.19.0.1", "198.19.0.2"]));
    daemon.until_state("198.19.0.1", State::Up);
    daemon.until_state("198.19.0.2", State::Dead);

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(daemon.metrics().as_bytes())
        .unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&verdict.stderr);
    assert!(verdict.status.success() && said.is_empty(), "{said}");
}

#[test]
fn every_metric_that_others_rely_on_is_there() {
    require_root!();
    let net = Net::new();
    let _host = Host::start(&net.fleet, "198.19.0.1");
    let config = fleet(&["198.19.0.1"]) + "    labels: {dc: ams}\n";
    let daemon = Daemon::run(&net.monitor, &config);
    let scrape = daemon.until_state("198.19.0.1", State::Up);
    let of_target = [("group", "test"), ("target", "198.19.0.1"), ("dc", "ams")];
    for name in [
        "up",
        "state",
        "missed",
        "rtt_seconds",
        "pings_total",
        "pongs_total",
        "late_total",
    ] {
        let name = format!("heartprobe_target_{name}");
        assert!(scrape.metric(&name, &of_target).is_some(), "{name}");
    }
    for state in [
        "pending",
        "up",
        "overloaded",
        "critical",
        "dead",
        "zombie",
        "unknown",
    ] {
        let labels = [("group", "test"), ("state", state)];
        assert!(
            scrape.metric("heartprobe_targets", &labels).is_some(),
            "{state}"
        );
    }
    for fate in ["ok", "late", "duplicate", "stale", "forged", "malformed"] {
        scrape.fate(fate);
    }
    assert_eq!(scrape.metric("heartprobe_monitor_fit", &[]), Some(1.0));
    assert_eq!(scrape.sum("heartprobe_build_info", &[]), 1);
    assert!(scrape.count("heartprobe_rtt_seconds_count", &[("group", "test")]) >= Some(1));
    assert!(scrape.all("heartprobe_engine_info", &[]).count() >= 1);
}

#[test]
fn its_pages_are_there() {
    require_root!();
    let net = Net::new();
    let daemon = Daemon::run(&net.monitor, &fleet(&["198.19.0.1"]));
    for path in ["/-/healthy", "/-/ready", "/", "/metrics"] {
        assert_eq!(daemon.get(path).unwrap().status, 200, "{path}");
    }
    assert!(
        daemon.get("/").unwrap().body.contains("href=\"metrics\""),
        "the landing page leads on"
    );
    assert_eq!(daemon.get("/no-such-page").unwrap().status, 404);
    let headers = daemon.get("/metrics").unwrap().headers;
    assert!(headers.contains("text/plain"), "{headers}");
}
