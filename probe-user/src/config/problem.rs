//! What is wrong with a configuration: a line for each problem, naming the place, the key and a way out.

use std::fmt;

/// Where in the configuration file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// From 1; 0: no place within the file.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// The way from the top of the file to a value, as a message shows it: `groups[1].interval`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Top,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self::Key(self, key)
    }

    pub(super) fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Key(Self::Top, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// All that is wrong with a configuration, a line each: `FILE:LINE:COLUMN: key.path: what; what to do`.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Errors(pub Vec<String>);

/// Problems as they are found.
#[derive(Debug)]
pub(super) struct Problems {
    file: String,
    found: Vec<(Place, String)>,
}

impl Problems {
    pub(super) fn new(file: &std::path::Path) -> Self {
        Self {
            file: file.display().to_string(),
            found: Vec::new(),
        }
    }

    /// Notes a problem with the value at `path`.
    pub(super) fn add(&mut self, place: Place, path: impl fmt::Display, what: impl fmt::Display) {
        let path = path.to_string();
        let colon = if path.is_empty() { "" } else { ": " };
        self.found.push((place, format!("{path}{colon}{what}")));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// A place as a message names it.
    pub(super) fn name(&self, place: Place) -> String {
        format!("{}:{}:{}", self.file, place.line, place.column)
    }

    /// In the order of the file, each told once.
    pub(super) fn into_errors(mut self) -> Errors {
        self.found.sort();
        self.found.dedup();
        let file = self.file;
        Errors(
            self.found
                .into_iter()
                .map(|(Place { line, column }, what)| match line {
                    0 => format!("{file}: {what}"),
                    _ => format!("{file}:{line}:{column}: {what}"),
                })
                .collect(),
        )
    }
}
