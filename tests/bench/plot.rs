//! The plot: processor cores against hosts pinged a second, for us and the peers.

use std::{collections::BTreeMap, error::Error};

use plotters::prelude::*;

use crate::{cost::Baseline, line::Line};

const SIZE: (u32, u32) = (860, 520);

/// Pings a second, and cores.
const RANGE: (f64, f64) = (5.0, 2e6);
const CORES: (f64, f64) = (0.001, 5.0);

/// To be read on white and on black.
const INK: RGBColor = RGBColor(0x7a, 0x7f, 0x87);
const FONT: &str = "sans-serif";

/// After Okabe and Ito: told apart by all eyes. Ours first.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x8c, 0x6b, 0xb1),
    RGBColor(0x80, 0x80, 0x80),
];

/// An SVG of these lines.
pub fn draw(lines: &[Line], baseline: Baseline) -> String {
    let mut svg = String::new();
    let backend = SVGBackend::with_string(&mut svg, SIZE);
    chart(backend, &series(lines, baseline)).expect("a string takes all that is written to it");
    svg
}

/// Points by name, in the order of the lines.
fn series(lines: &[Line], baseline: Baseline) -> Vec<(&'static str, Vec<(f64, f64)>)> {
    let mut names = Vec::new();
    let mut points: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in lines {
        if !names.contains(&line.name) {
            names.push(line.name);
        }
        let point = (line.rate(), line.cores(baseline));
        points.entry(line.name).or_default().push(point);
    }
    let take = |name| {
        let mut points = points.remove(name).unwrap_or_default();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        (name, points)
    };
    names.into_iter().map(take).collect()
}

fn chart(
    backend: SVGBackend<'_>,
    series: &[(&str, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn Error>> {
    let area = backend.into_drawing_area();
    let text = |size| (FONT, size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .caption("Processor time, by hosts that answer a second", text(17))
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (RANGE.0..RANGE.1).log_scale(),
            (CORES.0..CORES.1).log_scale(),
        )?;
    chart
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(INK.mix(0.35))
        .light_line_style(INK.mix(0.12))
        .label_style(text(13))
        .axis_desc_style(text(14))
        .x_desc("hosts that answered, a second")
        .y_desc("of one core")
        .x_label_formatter(&|&x| thousands(x))
        .y_label_formatter(&|&y| format!("{} %", (y * 1e5).round() / 1e3))
        .draw()?;
    for ((name, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let ours = name.starts_with("heartprobe");
        let style = colour.stroke_width(if ours { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(4))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(text(13))
        .draw()?;
    area.present()?;
    Ok(())
}

/// `10`, `1,000`, `1 million`.
fn thousands(number: f64) -> String {
    match number.round() as u64 {
        million if million >= 1_000_000 => format!("{} million", million / 1_000_000),
        thousand if thousand >= 1_000 => format!("{},{:03}", thousand / 1_000, thousand % 1_000),
        few => few.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_and_named() {
        let line = |name, rate, own| Line {
            name,
            targets: 1,
            each: String::new(),
            pings: rate,
            lost: 0.0,
            own,
            machine: 0.0,
            seconds: 1.0,
        };
        let lines = [
            line("heartprobe", 1e6, 0.8),
            line("heartprobe", 1e3, 0.02),
            line("peer", 100.0, 0.1),
        ];
        let baseline = Baseline {
            cores: 0.0,
            noise: 0.0,
        };
        let [(ours, points), (peer, _)] = &series(&lines, baseline)[..] else {
            panic!("two names");
        };
        assert_eq!((*ours, *peer), ("heartprobe", "peer"));
        assert_eq!(points[..], [(1e3, 0.02), (1e6, 0.8)]);
        let svg = draw(&lines, baseline);
        for text in ["<svg", "heartprobe", "peer", "1 million", "100 %"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
