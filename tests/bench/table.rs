//! How tables and figures are printed: in Markdown, so that they can be quoted as they are.

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};

/// A table with this head; the first column is text, all others are figures.
pub fn new(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A time in seconds, with a unit that suits it.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{} µs", digits(s * 1e6)),
        s if s < 1.0 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} s", digits(s)),
    }
}

/// Bytes, in megabytes.
pub fn megabytes(bytes: f64) -> String {
    format!("{} MB", digits(bytes / 1e6))
}

/// A number with as many digits as mean something.
pub fn digits(number: f64) -> String {
    match number {
        n if n.fract() == 0.0 => format!("{n:.0}"),
        n if n.abs() < 10.0 => format!("{n:.2}"),
        n if n.abs() < 100.0 => format!("{n:.1}"),
        n => format!("{n:.0}"),
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(time(0.000_012_34), "12.3 µs");
        assert_eq!(time(0.005), "5 ms");
        assert_eq!(megabytes(53_000_000.0), "53 MB");
        assert_eq!(digits(median(vec![3.25, 1.0, 2.5])), "2.50");
    }
}
