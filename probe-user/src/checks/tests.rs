use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command as Program},
    thread,
    time::{Instant, SystemTime},
};

use super::*;

/// Enough for any check that does not hang.
const LIMIT: Duration = Duration::from_secs(10);

/// A child that is ended and waited for, whatever happens.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(argv: &[&str]) -> Check {
    Check::Command(Command {
        argv: argv.iter().map(|&word| word.into()).collect(),
    })
}

#[track_caller]
fn fails(outcome: Result<(), String>, because: &str) {
    let said = outcome.expect_err("it should fail");
    assert!(said.contains(because), "{because:?} is not in {said:?}");
}

#[tokio::test]
async fn a_command_tells_by_its_code() {
    assert_eq!(command(&["true"]).run(LIMIT).await, Ok(()));
    fails(
        command(&["sh", "-c", "exit 3"]).run(LIMIT).await,
        "exited with 3",
    );
    fails(
        command(&["sh", "-c", "kill -9 $$"]).run(LIMIT).await,
        "signal 9",
    );
    fails(
        command(&["/nonexistent/check"]).run(LIMIT).await,
        "cannot run /nonexistent/check",
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 600 & echo $! > {}; wait", file.display());
    let hanging = command(&["sh", "-c", &script]);
    // Long enough for the shell to have started the other: told by the file.
    let pid = loop {
        let limit = Duration::from_millis(500);
        fails(hanging.run(limit).await, "no result within 500ms");
        if let Ok(pid) = fs::read_to_string(&file) {
            break pid.trim().parse().unwrap();
        }
    };
    let begun = Instant::now();
    while process::lives(pid) {
        assert!(begun.elapsed() < LIMIT, "{pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_port_is_open_or_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let check = Check::Tcp(Tcp {
        host: "127.0.0.1".into(),
        port,
    });
    assert_eq!(check.run(LIMIT).await, Ok(()));
    drop(listener);
    fails(check.run(LIMIT).await, "cannot connect to 127.0.0.1");
}

/// Answers one request with this, and then hangs up.
fn serve_once(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /health?deep=1 HTTP/1.1\r\n"));
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("http://{at}/health?deep=1")
}

async fn page(url: &str, limit: Duration) -> Result<(), String> {
    Check::Http(Http::parse(url).unwrap()).run(limit).await
}

#[tokio::test]
async fn a_page_is_served_or_not() {
    let good = serve_once("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(page(&good, LIMIT).await, Ok(()));
    let long = serve_once("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nthe beginning");
    assert_eq!(page(&long, LIMIT).await, Ok(()));
    let broken = serve_once("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    fails(page(&broken, LIMIT).await, "answered 503");
    let elsewhere = serve_once("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    fails(page(&elsewhere, LIMIT).await, "answered 302");
    let nonsense = serve_once("SSH-2.0-OpenSSH\r\n");
    fails(
        page(&nonsense, LIMIT).await,
        "no answer from http://127.0.0.1",
    );

    // Accepts by its backlog, and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", mute.local_addr().unwrap());
    fails(
        page(&url, Duration::from_millis(50)).await,
        "no result within 50ms",
    );
}

#[test]
fn urls_that_cannot_be_asked() {
    let says = |url| Http::parse(url).unwrap_err();
    assert!(says("https://a/").contains("command: [curl, -fsS, \"https://a/\"]"));
    assert!(says("localhost:80/x").contains("write http://HOST:PORT/PATH"));
    assert!(says("http://user:word@a/").contains("curl"));
    assert!(says("http://").contains("is no URL"));
    assert_eq!(
        Http::parse("http://[::1]:81/x").unwrap().server.to_string(),
        "[::1]:81"
    );
    assert_eq!(Http::parse("http://a").unwrap().server.to_string(), "a:80");
}

#[tokio::test]
async fn a_file_is_fresh_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stamp");
    let check = Check::File(File::new(path.clone(), Duration::from_mins(10)));
    fails(check.run(LIMIT).await, "cannot look at");
    let file = fs::File::create(&path).unwrap();
    assert_eq!(check.run(LIMIT).await, Ok(()));
    let hours = |hours| Duration::from_hours(hours);
    file.set_modified(SystemTime::now() - hours(3)).unwrap();
    fails(check.run(LIMIT).await, "was written 3h ago, not within 10m");
    file.set_modified(SystemTime::now() + hours(3)).unwrap();
    assert_eq!(check.run(LIMIT).await, Ok(()), "the clock was put back");
}

#[tokio::test]
async fn a_file_system_that_hangs_takes_one_thread() {
    let disk = disk::Disk::default();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let hangs = disk.look(move || Ok(wait.recv().is_ok()));
    assert!(timeout(Duration::from_millis(20), hangs).await.is_err());
    fails(disk.look(|| Ok(())).await, "still hangs");
    drop(go_on);
    let begun = Instant::now();
    while disk.look(|| Ok(())).await.is_err() {
        assert!(begun.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn pid_file(path: &Path) -> Check {
    Check::PidFile(PidFile::new(path.to_owned()))
}

#[tokio::test]
async fn a_pid_file_names_a_process_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pid");
    let check = pid_file(&path);
    fails(check.run(LIMIT).await, "cannot read");
    fs::write(&path, format!("{}\n", std::process::id())).unwrap();
    assert_eq!(check.run(LIMIT).await, Ok(()));
    fs::write(&path, "postmaster").unwrap();
    fails(check.run(LIMIT).await, "holds no process id");

    let mut child = Ended(Program::new("sleep").arg("600").spawn().unwrap());
    fs::write(&path, child.0.id().to_string()).unwrap();
    assert_eq!(check.run(LIMIT).await, Ok(()));
    child.0.kill().unwrap();
    // Nobody has waited for it: it is a zombie before it is gone.
    let begun = Instant::now();
    while check.run(LIMIT).await.is_ok() {
        assert!(begun.elapsed() < LIMIT);
    }
    assert!(Path::new("/proc").join(child.0.id().to_string()).exists());
    child.0.wait().unwrap();
    fails(check.run(LIMIT).await, "does not live");
}

#[tokio::test]
async fn a_process_is_known_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than what the kernel keeps of a name.
    let name = "heartprobe-sleeper-1";
    let program: PathBuf = folder.path().join(name);
    fs::copy("/bin/sleep", &program).unwrap();
    let check = Check::Process(Process::new(name.into()));
    fails(
        check.run(LIMIT).await,
        "no process named heartprobe-sleeper-1 lives",
    );
    let mut child = Ended(Program::new(&program).arg("600").spawn().unwrap());
    // Its name is not there yet when it has just been started.
    let begun = Instant::now();
    while check.run(LIMIT).await.is_err() {
        assert!(begun.elapsed() < LIMIT, "it is not found");
    }
    assert_eq!(check.run(LIMIT).await, Ok(()));
    child.0.kill().unwrap();
    let begun = Instant::now();
    while check.run(LIMIT).await.is_ok() {
        assert!(begun.elapsed() < LIMIT, "a zombie counts as living");
    }
}

#[tokio::test]
async fn a_unit_that_is_not_there_is_not_active() {
    let unit = "heartprobe-no-such.service".to_owned();
    let check = Check::Systemd(Systemd { unit });
    fails(
        check.run(LIMIT).await,
        "heartprobe-no-such.service is not active",
    );
}
