//! The page for people: what this is, how the fleet is, where to look further.

use std::fmt::Write;

use crate::{core::verdict::State, metrics::Exporter};

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
         <h2>Targets</h2>\n<table>\n<tr><th>group"
    )?;
    for state in State::ALL {
        write!(page, "<th>{}", state.name())?;
    }
    let snapshot = exporter.live.snapshot();
    for (group, counts) in snapshot.fleet.groups.iter().zip(snapshot.by_state()) {
        if group.gone {
            continue;
        }
        write!(page, "\n<tr><td>{}", escaped(&group.name))?;
        for count in counts {
            write!(page, "<td>{count}")?;
        }
    }
    page.push_str("\n</table>\n<h2>Engine</h2>\n<table>\n<tr><th>interface<th>pings<th>pongs");
    for engine in exporter.vitals.engines().iter() {
        let (transmit, receive) = (engine.transmit.name(), engine.receive.name());
        let interface = escaped(&engine.interface);
        write!(page, "\n<tr><td>{interface}<td>{transmit}<td>{receive}")?;
    }
    page.push_str("\n</table>\n</html>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
