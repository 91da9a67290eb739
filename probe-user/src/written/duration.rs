//! Durations as people write them: `5s`, `250ms`, `1m30s`.

use std::time::Duration;

use super::did_you_mean;

/// The units that are suggested; humantime knows more.
const UNITS: [&str; 10] = [
    "ms", "s", "m", "h", "us", "sec", "min", "seconds", "minutes", "hours",
];

/// Shows a duration as it would be written.
pub fn show(duration: Duration) -> String {
    humantime::format_duration(duration)
        .to_string()
        .replace(' ', "")
}

/// What this text says, or what is wrong with it.
pub fn parse(text: &str) -> Result<Duration, String> {
    use humantime::DurationError as Error;
    humantime::parse_duration(text).map_err(|error| match error {
        // `0` parses, so only other numbers come here.
        Error::UnknownUnit { unit, .. } if unit.is_empty() => {
            let number = text.trim();
            format!("{text:?}: missing unit: write {number}s or {number}ms")
        }
        Error::UnknownUnit { unit, .. } => match did_you_mean(&unit, UNITS) {
            Some(close) => format!("{text:?}: unknown unit {unit:?}; did you mean {close}?"),
            None => format!("{text:?}: unknown unit {unit:?}; write ms, s, m or h"),
        },
        Error::NumberOverflow => format!("{text:?} is too large, or finer than a nanosecond"),
        _ => format!("{text:?} is no duration; write one like 5s, 250ms or 1m30s"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(show(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let says = |text| parse(text).unwrap_err();
        assert_eq!(says("5"), r#""5": missing unit: write 5s or 5ms"#);
        assert_eq!(says("5S"), r#""5S": unknown unit "S"; did you mean s?"#);
        assert_eq!(
            says("5msc"),
            r#""5msc": unknown unit "msc"; did you mean ms?"#
        );
        assert_eq!(
            says("3 parsecs"),
            r#""3 parsecs": unknown unit "parsecs"; write ms, s, m or h"#
        );
        assert_eq!(
            says("-5s"),
            r#""-5s" is no duration; write one like 5s, 250ms or 1m30s"#
        );
        assert_eq!(
            says(""),
            r#""" is no duration; write one like 5s, 250ms or 1m30s"#
        );
    }
}
