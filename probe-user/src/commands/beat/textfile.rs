//! A file of metrics for the textfile collector of Prometheus' node exporter: what was sent and acked, over all runs.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    process,
};

const SENT: &str = "heartprobe_beat_sent_total";
const ACKED: &str = "heartprobe_beat_acked_total";
const LAST_ACK: &str = "heartprobe_beat_last_ack_timestamp_seconds";

/// What one monitor was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Beats.
    pub sent: u64,
    /// Beats that it has acked.
    pub acked: u64,
    /// When the last ack came, ns since the Unix epoch.
    pub last_ack: Option<u64>,
}

/// The file.
#[derive(Debug)]
pub struct Textfile {
    path: PathBuf,
    /// Of each monitor its labels, and what the runs before have told.
    monitors: Vec<(String, Tally)>,
    failing: bool,
}

impl Textfile {
    /// Goes on from what the file holds: a job that beats once a night is a new process each time, and its counters must not
    /// begin anew.
    pub fn open<'a>(
        path: &Path,
        service: &str,
        monitors: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let known: HashMap<&str, &str> = lines.collect();
        let monitors = monitors.into_iter().map(|monitor| {
            let (service, monitor) = (escape(service), escape(monitor));
            let labels = format!("{{service=\"{service}\",monitor=\"{monitor}\"}}");
            let value = |name| known.get(format!("{name}{labels}").as_str());
            let count = |name| value(name).and_then(|count| count.parse().ok());
            let last_ack = value(LAST_ACK).and_then(|seconds| seconds.parse::<f64>().ok());
            let before = Tally {
                sent: count(SENT).unwrap_or_default(),
                acked: count(ACKED).unwrap_or_default(),
                last_ack: last_ack.map(|seconds| (seconds * 1e9) as u64),
            };
            (labels, before)
        });
        Self {
            path: path.to_owned(),
            monitors: monitors.collect(),
            failing: false,
        }
    }

    /// Writes what this run has sent so far, in the monitors' order, on top of what was before. A file that cannot be written is
    /// told once: beats matter more.
    pub fn write<'a>(&mut self, tallies: impl IntoIterator<Item = &'a Tally>) {
        let text = self.text(tallies);
        let failed = replace(&self.path, &text);
        if let Err(error) = &failed
            && !self.failing
        {
            let path = self.path.display();
            tracing::warn!("cannot write {path}: {error}; choose another with --textfile");
        }
        self.failing = failed.is_err();
    }

    fn text<'a>(&self, tallies: impl IntoIterator<Item = &'a Tally>) -> String {
        let all: Vec<(&str, Tally)> = { self.monitors.iter().zip(tallies) }
            .map(|((labels, before), now)| {
                let all = Tally {
                    sent: before.sent + now.sent,
                    acked: before.acked + now.acked,
                    last_ack: now.last_ack.or(before.last_ack),
                };
                (labels.as_str(), all)
            })
            .collect();
        let mut text = String::new();
        let mut metric = |name, kind, help, value: &dyn Fn(&Tally) -> Option<String>| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, tally) in &all {
                if let Some(value) = value(tally) {
                    let _ = writeln!(text, "{name}{labels} {value}");
                }
            }
        };
        metric(SENT, "counter", "Beats sent.", &|tally| {
            Some(tally.sent.to_string())
        });
        metric(ACKED, "counter", "Beats that were acked.", &|tally| {
            Some(tally.acked.to_string())
        });
        metric(LAST_ACK, "gauge", "When the last ack came.", &|tally| {
            Some(format!("{:.3}", tally.last_ack? as f64 / 1e9))
        });
        text
    }
}

/// In one step, so that no scrape sees half a file. The other name does not end as those do that are scraped.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", process::id()));
    fs::write(&new, text)?;
    fs::rename(&new, path).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_goes_on_where_the_last_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.prom");
        let first = Tally {
            sent: 2,
            acked: 1,
            last_ack: Some(1_700_000_000_500_000_000),
        };
        let monitors = ["mon-1", "mon \"2\""];
        Textfile::open(&path, "backup", monitors).write(&[first, Tally::default()]);
        let second = Tally {
            sent: 3,
            ..Tally::default()
        };
        Textfile::open(&path, "backup", monitors).write(&[second, second]);
        let text = fs::read_to_string(&path).unwrap();
        for line in [
            r#"heartprobe_beat_sent_total{service="backup",monitor="mon-1"} 5"#,
            r#"heartprobe_beat_sent_total{service="backup",monitor="mon \"2\""} 3"#,
            r#"heartprobe_beat_acked_total{service="backup",monitor="mon-1"} 1"#,
            r#"heartprobe_beat_last_ack_timestamp_seconds{service="backup",monitor="mon-1"} 1700000000.500"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        assert_eq!(
            text.matches(LAST_ACK).count(),
            3,
            "none where no ack came:\n{text}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_ends_nothing() {
        let mut textfile = Textfile::open(Path::new("/nonexistent/x.prom"), "a", ["b"]);
        textfile.write(&[Tally::default()]);
        assert!(textfile.failing);
    }
}
