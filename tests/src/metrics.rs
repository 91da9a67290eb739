//! The Prometheus text format, as far as the daemon writes it, read into samples.

/// One scrape of `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Scrape(Vec<Sample>);

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of the metric; of a histogram with its suffix.
    pub name: String,
    /// In the order of the line.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

impl Scrape {
    /// Reads the text; panics at a line that is not of the format.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| sample(line).unwrap_or_else(|| panic!("not a sample: {line}")))
                .collect(),
        )
    }

    /// The samples of a metric that carry all these labels, whatever others they have.
    pub fn all<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|&(label, value)| sample.label(label) == Some(value))
        })
    }

    /// The value of the one sample with these labels; `None` if there is none; panics if there are several.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, labels);
        let value = found.next()?.value;
        assert!(
            found.next().is_none(),
            "{name}{labels:?} is more than one sample"
        );
        Some(value)
    }

    /// The same of a metric that counts.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.metric(name, labels).map(|value| value as u64)
    }

    /// The sum of all samples of a metric that counts.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.all(name, labels)
            .map(|sample| sample.value as u64)
            .sum()
    }
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| label == name)
            .map(|(_, value)| value.as_str())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (name, mut rest) = line.split_at(line.find(['{', ' '])?);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = unquote(quoted)?;
            labels.push((label.to_owned(), value));
            rest = after;
        }
    }
    // A time stamp may follow the value.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: name.into(),
        labels,
        value,
    })
}

/// The label's value up to its closing quote, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_samples() {
        let scrape = Scrape::parse(
            "# HELP a text\n# TYPE a counter\na_total 3\na{x=\"1\",y=\"q\\\"u,o}te\"} 2.5e-3\na{x=\"2\"} +Inf\n",
        );
        assert_eq!(scrape.metric("a_total", &[]), Some(3.0));
        assert_eq!(scrape.metric("a", &[("y", "q\"u,o}te")]), Some(0.0025));
        assert_eq!(scrape.metric("a", &[("x", "2")]), Some(f64::INFINITY));
        assert_eq!(scrape.metric("a", &[("x", "3")]), None);
        assert_eq!(scrape.all("a", &[]).count(), 2);
    }

    #[test]
    #[should_panic(expected = "not a sample")]
    fn nonsense_is_not_skipped() {
        Scrape::parse("a{x=\"1} 2\n");
    }
}
