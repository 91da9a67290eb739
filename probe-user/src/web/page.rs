//! The page for people: what this is, how the fleet is, where to look further.

use std::fmt::Write;

use crate::{core::verdict::State, fleet::Fleet, metrics::Exporter};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;\
color-scheme:light dark}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right}\
td:first-child,th:first-child{text-align:left}tr{border-bottom:1px solid #8884}";

/// The page as of now.
pub fn render(exporter: &Exporter) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, exporter);
    page
}

fn write(page: &mut String, exporter: &Exporter) -> std::fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>heartprobe</title>\n\
         <style>{STYLE}</style>\n<h1>heartprobe {version}</h1>\n\
         <p><a href=\"metrics\">metrics</a> · <a href=\"-/healthy\">healthy</a> · <a href=\"-/ready\">ready</a>\n\
         "
    )?;
    let snapshot = exporter.live.snapshot();
    by_state(page, "Targets", &snapshot.fleet, snapshot.by_state())?;
    if snapshot.fleet.services().next().is_some() {
        by_state(
            page,
            "Services",
            &snapshot.fleet,
            snapshot.services_by_state(),
        )?;
    }
    page.push_str("<h2>Engine</h2>\n<table>\n<tr><th>interface<th>pings<th>pongs");
    for engine in exporter.vitals.engines().iter() {
        let (transmit, receive) = (engine.transmit.name(), engine.receive.name());
        let interface = escaped(&engine.interface);
        write!(page, "\n<tr><td>{interface}<td>{transmit}<td>{receive}")?;
    }
    page.push_str("\n</table>\n</html>\n");
    Ok(())
}

/// A table with a row for each group and a column for each state.
fn by_state(
    page: &mut String,
    title: &str,
    fleet: &Fleet,
    counts: Vec<[u64; State::ALL.len()]>,
) -> std::fmt::Result {
    write!(page, "<h2>{title}</h2>\n<table>\n<tr><th>group")?;
    for state in State::ALL {
        write!(page, "<th>{}", state.name())?;
    }
    for (group, counts) in fleet.groups.iter().zip(counts) {
        if group.gone {
            continue;
        }
        write!(page, "\n<tr><td>{}", escaped(&group.name))?;
        for count in counts {
            write!(page, "<td>{count}")?;
        }
    }
    page.push_str("\n</table>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
