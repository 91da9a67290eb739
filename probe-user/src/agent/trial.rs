//! `--check`: what the checks find now, for whoever sets an agent up.

use std::{
    fmt,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{config::agent::Agent, recipient::Recipient, written::duration::show as show_duration};

/// What was found.
#[derive(Debug)]
pub struct Trial {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    what: String,
    found: Result<String, String>,
}

/// Runs each check once, all at the same time, and looks each monitor up.
pub async fn run(config: Agent) -> Trial {
    let mut looks = JoinSet::new();
    for (index, name) in config.monitors.into_iter().enumerate() {
        looks.spawn(async move {
            let text = name.text.to_string();
            let found = Recipient::follow(name).first_look().await;
            let row = Row {
                name: text,
                what: "monitor".into(),
                found: found.map(|address| format!("is at {address}")),
            };
            (index, row)
        });
    }
    let before = looks.len();
    for (index, service) in config.services.into_iter().enumerate() {
        looks.spawn(async move {
            let begun = Instant::now();
            let found = service.check.run(service.timeout).await;
            let took = Duration::from_millis(begun.elapsed().as_millis() as u64);
            let row = Row {
                name: service.name,
                what: service.check.to_string(),
                found: found.map(|()| format!("works, {}", show_duration(took))),
            };
            (before + index, row)
        });
    }
    let mut rows = looks.join_all().await;
    rows.sort_by_key(|(index, _)| *index);
    Trial {
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

impl Trial {
    /// Whether each service works and each monitor was found.
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.found.is_ok())
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Row) -> &str| {
            let widths = self.rows.iter().map(|row| text(row).chars().count());
            widths.max().unwrap_or_default()
        };
        let (name, what) = (width(|row| &row.name), width(|row| &row.what));
        for row in &self.rows {
            let found = match &row.found {
                Ok(found) => found.clone(),
                Err(why) => format!("FAILED: {why}"),
            };
            writeln!(f, "{:<name$}  {:<what$}  {found}", row.name, row.what)?;
        }
        Ok(())
    }
}
