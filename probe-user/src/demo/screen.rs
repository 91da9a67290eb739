//! The demo's live view: counts by state, a light for every host, the last changes.

use std::time::Duration;

use probe_common::maps::{Histogram, RTT_BOUNDS_NS};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, Cell, Paragraph, Row, Table, Wrap},
};

use crate::{
    changes::Change,
    core::verdict::State,
    snapshot::{Reading, Snapshot},
};

/// States that a demo can come to, in the order of the columns.
const SHOWN: [State; 6] = [
    State::Up,
    State::Overloaded,
    State::Critical,
    State::Dead,
    State::Zombie,
    State::Pending,
];

/// What one picture shows.
pub struct View<'a> {
    /// Who is probed, and how they are.
    pub snapshot: &'a Snapshot<'a>,
    /// Round-trip times by group.
    pub rtt: &'a [Histogram],
    /// The last changes, oldest first.
    pub changes: &'a [Change],
    /// Since the start.
    pub elapsed: Duration,
    /// `monotonic - started`, to tell how long ago a change was, ns.
    pub now: u64,
    /// Where the metrics are.
    pub url: &'a str,
}

fn colour(state: State) -> Color {
    match state {
        State::Up => Color::Green,
        State::Overloaded => Color::Yellow,
        State::Critical => Color::LightRed,
        State::Dead => Color::Red,
        State::Zombie => Color::Magenta,
        State::Pending | State::Unknown => Color::DarkGray,
    }
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let groups = view.snapshot.fleet.groups.len() as u16;
    let readings: Vec<Reading<'_>> = view.snapshot.readings(None).collect();
    let width = frame.area().width.saturating_sub(2).max(1);
    let rows = (readings.len() as u16).div_ceil(width);
    let [head, counts, lights, changes, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(groups + 3),
        Constraint::Length(rows + 2),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let title = format!(
        " heartprobe demo: {} hosts on loopback, each pinged every 500 ms, for {} s",
        readings.len(),
        view.elapsed.as_secs()
    );
    frame.render_widget(Line::from(title).bold(), head);
    draw_counts(frame, counts, view);
    let dots: Vec<Span<'_>> = readings.iter().map(light).collect();
    let field = Paragraph::new(Line::from(dots)).wrap(Wrap { trim: false });
    frame.render_widget(field.block(Block::bordered().title(" every host ")), lights);
    draw_changes(frame, changes, view, &readings);
    let hint = format!(" metrics: {}/metrics    q: quit", view.url);
    frame.render_widget(Line::from(hint).fg(Color::DarkGray), foot);
}

fn light(reading: &Reading<'_>) -> Span<'static> {
    let state = reading.verdict.state;
    let sign = match state {
        State::Up => "●",
        State::Overloaded => "◐",
        State::Critical => "◌",
        State::Dead => "✖",
        State::Zombie => "☣",
        State::Pending | State::Unknown => "·",
    };
    Span::styled(sign, Style::new().fg(colour(state)))
}

fn draw_counts(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let by_state = view.snapshot.by_state();
    let head = ["group"]
        .into_iter()
        .map(str::to_owned)
        .chain(SHOWN.map(|s| s.name().to_owned()));
    let head = head.chain(["rtt p50".to_owned(), "rtt p99".to_owned()]);
    let rows = view
        .snapshot
        .fleet
        .groups
        .iter()
        .enumerate()
        .map(|(number, group)| {
            let counts = SHOWN.map(|state| match by_state[number][state as usize] {
                0 => Cell::from("0").fg(Color::DarkGray),
                count => Cell::from(count.to_string()).fg(colour(state)),
            });
            let rtt = view.rtt.get(number).copied().unwrap_or_default();
            let times = [0.5, 0.99].map(|q| Cell::from(quantile(&rtt, q)));
            Row::new(
                [Cell::from(group.name.to_string())]
                    .into_iter()
                    .chain(counts)
                    .chain(times),
            )
        });
    let widths = [Constraint::Length(8)]
        .into_iter()
        .chain([Constraint::Length(11); SHOWN.len() + 2]);
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::DIM)))
        .block(Block::bordered().title(" groups "));
    frame.render_widget(table, area);
}

fn draw_changes(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, readings: &[Reading<'_>]) {
    let room = area.height.saturating_sub(2) as usize;
    // Those of services show in what becomes of their hosts.
    let of_hosts = view
        .changes
        .iter()
        .filter(|change| change.service.is_none());
    let lines: Vec<Line<'_>> = of_hosts
        .rev()
        .take(room)
        .filter_map(|change| {
            let reading = readings
                .iter()
                .find(|reading| reading.number == change.target)?;
            let ago = view.now.saturating_sub(change.at) / 1_000_000_000;
            Some(Line::from(vec![
                Span::raw(format!(" {ago:>3} s ago  {:<10}", reading.target.label())),
                Span::styled(change.from.name(), Style::new().fg(colour(change.from))),
                Span::raw(" → "),
                Span::styled(change.to.name(), Style::new().fg(colour(change.to)).bold()),
            ]))
        })
        .collect();
    let list = Paragraph::new(lines).block(Block::bordered().title(" last changes "));
    frame.render_widget(list, area);
}

/// A group's counts on one line, for where there is no terminal.
pub fn line(group: &str, counts: &[u64; State::ALL.len()]) -> String {
    let counts = SHOWN.map(|state| format!("{} {}", counts[state as usize], state.name()));
    format!("{group:<6} {}", counts.join(", "))
}

/// The upper bound of the bucket in which this share of the pongs is reached.
pub fn quantile(rtt: &Histogram, share: f64) -> String {
    let total: u64 = rtt.buckets.iter().sum();
    if total == 0 {
        return "-".into();
    }
    let mut seen = 0;
    let bucket = rtt.buckets.iter().position(|count| {
        seen += count;
        seen as f64 >= share * total as f64
    });
    match bucket.and_then(|bucket| RTT_BOUNDS_NS.get(bucket)) {
        Some(&bound) => format!(
            "< {}",
            humantime::format_duration(Duration::from_nanos(bound.into()))
        ),
        None => "> 2s".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds() {
        let mut rtt = Histogram::default();
        assert_eq!(quantile(&rtt, 0.5), "-");
        (0..99).for_each(|_| rtt.observe(40_000));
        rtt.observe(3_000_000_000);
        assert_eq!(quantile(&rtt, 0.5), "< 50us");
        assert_eq!(quantile(&rtt, 0.99), "< 50us");
        assert_eq!(quantile(&rtt, 1.0), "> 2s");
    }
}
