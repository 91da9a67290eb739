//! The YAML file as a tree of places and texts. What a text means is for the reader of its key to say: YAML's own
//! guesses would make `off` a boolean and the label `1.10` the number 1.1.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::problem::{Path, Place, Problems};

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// Bytes of the source, for [`Value::Unquoted`].
    source: Range<usize>,
}

/// What a value is made of.
#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, or `null`, or `~`.
    Null,
    Text(String),
    /// A text that YAML takes for a number or a boolean; `parse` puts the text of the source in its place.
    Unquoted,
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) node: Node,
}

/// Reads a YAML document. A syntax error is the one problem then, since what follows it means nothing.
pub(super) fn parse(text: &[u8], problems: &mut Problems) -> Option<Node> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = String::from_utf8_lossy(&text[..error.valid_up_to()]);
            let place = Place {
                line: 1 + before.matches('\n').count() as u32,
                column: 1,
            };
            problems.add(place, Path::Top, "this line is not UTF-8");
            return None;
        }
    };
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: EVENTS, max_nodes: EVENTS },
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(mut node) => {
            node.fill(text);
            Some(node)
        }
        Err(error) => {
            let place = error.location().map(place).unwrap_or_default();
            // For users: the other wording speaks of the options of the parser.
            let message = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            let suffix = format!(" at line {}, column {}", place.line, place.column);
            let message = message.strip_suffix(&suffix).unwrap_or(&message);
            problems.add(place, Path::Top, message);
            None
        }
    }
}

/// Enough for a file that lists as many single targets as there may be.
const EVENTS: usize = 4 << 20;

fn place(location: serde_saphyr::Location) -> Place {
    Place {
        line: location.line() as u32,
        column: location.column() as u32,
    }
}

impl Node {
    /// Puts the text of the source where YAML had taken it for something else.
    fn fill(&mut self, text: &str) {
        match &mut self.value {
            Value::Unquoted => {
                let source = text.get(self.source.clone()).unwrap_or_default();
                self.value = Value::Text(source.trim().to_owned());
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.fill(text)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.node.fill(text)),
            Value::Null | Value::Text(_) => {}
        }
    }

    /// What stands here instead of what was wanted.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) | Value::Unquoted => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned {
            value,
            referenced,
            defined,
        } = Spanned::<Value>::deserialize(deserializer)?;
        let start = defined.span().byte_offset().unwrap_or_default() as usize;
        let len = defined.span().byte_len().unwrap_or_default() as usize;
        Ok(Self {
            place: place(referenced),
            value,
            source: start..start.saturating_add(len),
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Unquoted)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            map.push(Entry {
                place: place(key.referenced),
                key: key.value,
                node: entries.next_value()?,
            });
        }
        Ok(Value::Map(map))
    }
}
