use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::channel,
};

use flate2::read::GzDecoder;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    core::verdict::Policy,
    fleet::{Class, Detail, Fleet, Group, Target},
    metrics::{self, Vitals},
    snapshot::Live,
    table::Table,
    tally::{Received, Source},
};

/// A server on a port of its own; it must end by itself within a second after it is told to.
struct Server {
    address: SocketAddr,
    exporter: Arc<Exporter>,
    reloads: mpsc::Receiver<Reload>,
    stop: Option<oneshot::Sender<()>>,
    ended: std::sync::mpsc::Receiver<io::Result<()>>,
    runtime: Runtime,
}

impl Server {
    fn start(exporter: Exporter) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let exporter = Arc::new(exporter);
        let (reload, reloads) = mpsc::channel(1);
        let web = Web {
            exporter: exporter.clone(),
            reload,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = channel();
        runtime.spawn(async move {
            let served = serve(listener, web, async { drop(stopped.await) }).await;
            let _ = end.send(served);
        });
        Self {
            address,
            exporter,
            reloads,
            stop: Some(stop),
            ended,
            runtime,
        }
    }

    fn request(&self, line: &str, headers: &str) -> BufReader<TcpStream> {
        let mut client = TcpStream::connect(self.address).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            client,
            "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        BufReader::new(client)
    }

    fn ask(&self, line: &str, headers: &str) -> Answer {
        Answer::read(self.request(line, headers)).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        let ended = self.ended.recv_timeout(Duration::from_secs(1));
        ended.expect("it ends within a second").unwrap();
    }
}

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn read(mut client: BufReader<TcpStream>) -> io::Result<Self> {
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            if client.read_line(&mut headers)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let headers = headers.to_ascii_lowercase();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        let mut body = Vec::new();
        if headers.contains("transfer-encoding: chunked") {
            loop {
                let mut size = String::new();
                client.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim_end(), 16)
                    .map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let mut chunk = vec![0; size + 2];
                client.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else {
            client.read_to_end(&mut body)?;
        }
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A scrape of it is far more than sockets and channels hold.
fn large() -> Exporter {
    const TARGETS: u32 = 100_000;
    let group = Group {
        name: "web".into(),
        labels: vec![("dc".into(), "ams".into())],
        gone: false,
    };
    let class = Class {
        group: 0,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
        late_after: Duration::from_millis(250),
        policy: Policy::default(),
        pinged: true,
        services: [].into(),
        confirm_interval: None,
    };
    let target = |number: u32| Target {
        name: None,
        address: Some((Ipv4Addr::from_bits(0xc612_0000 + number), 4862).into()),
        class: 0,
    };
    let live = Live::new(
        Arc::new(Table::in_memory(TARGETS).unwrap()),
        TARGETS as usize,
        1,
    );
    live.fleet.store(Arc::new(Fleet {
        detail: Detail::All,
        groups: vec![group],
        classes: vec![class],
        targets: (0..TARGETS).map(|number| Some(target(number))).collect(),
        services: Vec::new(),
    }));
    for (seq, row) in (1_u32..).zip(live.table.rows()) {
        row.open();
        row.record(1, seq.wrapping_mul(2_654_435_761) >> 6, false, u32::MAX, 0);
    }
    Exporter {
        live: Arc::new(live),
        vitals: Arc::default(),
        sources: Vec::new(),
    }
}

#[test]
fn metrics_are_the_exporters_text() {
    let mut server = Server::start(metrics::tests::sample());
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let content_type = "\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.headers.contains(content_type), "{}", answer.headers);
    assert!(!answer.headers.contains("content-encoding"));
    let text = metrics::tests::text(&server.exporter);
    let without_ages = metrics::tests::without_ages;
    assert_eq!(without_ages(answer.text()), without_ages(&text));
    server.stop();
}

#[test]
fn a_large_scrape_comes_whole_plain_and_gzipped() {
    let mut server = Server::start(large());
    let text = metrics::tests::text(&server.exporter);
    let plain = server.get("/metrics");
    assert!(plain.text() == text);

    let gzipped = server.ask("GET /metrics", "Accept-Encoding: gzip;q=0.8\r\n");
    assert!(gzipped.headers.contains("\r\ncontent-encoding: gzip\r\n"));
    assert!(gzipped.headers.contains("\r\nvary: accept-encoding\r\n"));
    assert!(gzipped.body.len() < plain.body.len() / 5);
    let mut unpacked = String::new();
    GzDecoder::new(&*gzipped.body)
        .read_to_string(&mut unpacked)
        .unwrap();
    assert!(unpacked == text);
    server.stop();
}

#[test]
fn head_has_the_headers_alone() {
    let mut server = Server::start(metrics::tests::sample());
    for path in ["/", "/metrics", "/-/healthy"] {
        let mut client = server.request(&format!("HEAD {path}"), "");
        let mut all = String::new();
        client.read_to_string(&mut all).unwrap();
        assert!(all.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
        assert!(all.ends_with("\r\n\r\n"), "{all}");
    }
    server.stop();
}

#[test]
fn ready_once_the_prober_probes_its_fleet() {
    let mut server = Server::start(metrics::tests::sample());
    assert_eq!(server.get("/-/healthy").status, 200);
    let before = server.get("/-/ready");
    assert_eq!(
        (before.status, before.text()),
        (503, "the prober does not probe all of its targets yet\n")
    );
    server.exporter.vitals.set_ready();
    assert_eq!(server.get("/-/ready").status, 200);
    assert_eq!(server.get("/-/healthy").status, 200);
    server.stop();
}

#[test]
fn a_prober_that_hangs_is_not_healthy() {
    let vitals = Vitals::new();
    vitals.turn();
    let now = Instant::now();
    assert_eq!(health(&vitals, now + HANGS_AFTER / 2).0, StatusCode::OK);
    let (status, text) = health(&vitals, now + HANGS_AFTER);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "the prober has not turned for 5 s\n");
}

#[test]
fn reload_tells_what_came_of_it() {
    let mut server = Server::start(metrics::tests::sample());
    let mut outcomes = [Ok(()), Err("fleet.yml:3: no such key".to_owned())].into_iter();
    let (_, mut reloads) = mpsc::channel(1);
    std::mem::swap(&mut server.reloads, &mut reloads);
    let reloader = server.runtime.spawn(async move {
        while let Some(wish) = reloads.recv().await {
            let Some(outcome) = outcomes.next() else {
                break;
            };
            wish.send(outcome).unwrap();
        }
    });
    assert_eq!(server.ask("POST /-/reload", "").status, 200);
    let failed = server.ask("PUT /-/reload", "");
    assert_eq!(failed.status, 500);
    assert!(failed.text().contains("fleet.yml:3: no such key"));
    assert_eq!(server.get("/-/reload").status, 405);
    // The third is taken and dropped, and nobody is there for the fourth.
    assert_eq!(server.ask("POST /-/reload", "").status, 503);
    server.runtime.block_on(reloader).unwrap();
    assert_eq!(server.ask("POST /-/reload", "").status, 503);
    server.stop();
}

#[test]
fn the_page_shows_groups_and_engines() {
    let mut server = Server::start(metrics::tests::sample());
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("\r\ncontent-type: text/html"));
    assert!(
        page.headers
            .contains("\r\ncontent-security-policy: default-src 'none'")
    );
    let text = page.text();
    for part in [
        env!("CARGO_PKG_VERSION"),
        "<tr><td>web<td>1<td>1<td>1<td>0<td>0<td>0<td>0\n",
        "<tr><td>größe \"&lt;x&gt;\"<td>0<td>0<td>0<td>0<td>1<td>0<td>0\n",
        "<tr><td>eth0<td>socket<td>xdp-generic\n",
        "href=\"metrics\"",
    ] {
        assert!(text.contains(part), "{part} not in\n{text}");
    }
    assert!(!text.contains("<td>old<td>"), "a group that is gone");
    assert_eq!(server.get("/nothing").status, 404);
    server.stop();
}

#[test]
fn it_ends_though_a_client_takes_nothing() {
    let mut server = Server::start(large());
    let idle = TcpStream::connect(server.address).unwrap();
    let mut slow = server.request("GET /metrics", "");
    let mut first = String::new();
    slow.read_line(&mut first).unwrap();
    assert_eq!(first, "HTTP/1.1 200 OK\r\n");
    server.stop();
    // What it got must not look whole.
    drop(server);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"\r\n0\r\n\r\n"));
    drop(idle);
}

#[test]
fn a_scrape_that_fails_does_not_look_whole() {
    struct Broken;
    impl Source for Broken {
        fn received(&self) -> Received {
            panic!("as the test wants it");
        }
    }
    let mut exporter = metrics::tests::sample();
    exporter.sources.push(Arc::new(Broken));
    let mut server = Server::start(exporter);
    assert!(Answer::read(server.request("GET /metrics", "")).is_err());
    assert_eq!(server.get("/-/healthy").status, 200);
    server.stop();
}

#[test]
fn a_client_that_goes_frees_its_place() {
    let mut server = Server::start(large());
    let places = SCRAPES as usize;
    let slow: Vec<_> = (0..places)
        .map(|_| {
            let mut client = server.request("GET /metrics", "");
            client.read_line(&mut String::new()).unwrap();
            client
        })
        .collect();
    let refused = server.get("/metrics");
    assert_eq!(refused.status, 503, "{}", refused.text());
    drop(slow);
    let until = Instant::now() + Duration::from_secs(20);
    while server.get("/metrics").status != 200 {
        assert!(Instant::now() < until, "the places are still taken");
    }
    server.stop();
}

#[test]
fn what_cannot_be_listened_on_is_told() {
    let runtime = Runtime::new().unwrap();
    let taken = runtime.block_on(bind("127.0.0.1:0")).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = |address: &str| runtime.block_on(bind(address)).unwrap_err().to_string();
    assert_eq!(
        error(&address),
        format!(
            "cannot listen on {address}: address already in use; is another heartprobe running? choose another with \
             --web.listen-address"
        )
    );
    assert!(error("192.0.2.1:9862").contains("no interface of this machine has that address"));
    for address in ["127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999", ":x", ""] {
        let error = error(address);
        assert!(error.contains("takes HOST:PORT"), "{error}");
    }
}

#[test]
fn a_port_alone_means_every_address() {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(bind(":0")).unwrap();
    assert!(listener.local_addr().unwrap().ip().is_unspecified());
}
