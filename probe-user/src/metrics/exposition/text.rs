//! Lines of the text format, gathered into chunks.

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
};

use crate::fleet::Label;

/// How much text goes out at once: each time wakes whoever sends it on.
const CHUNK: usize = 256 << 10;

/// Text on its way to `out`.
pub struct Text<'a, W> {
    out: &'a mut W,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Text<'a, W> {
    /// Text for `out`.
    pub fn new(out: &'a mut W) -> Self {
        let buffer = Vec::with_capacity(CHUNK + 4096);
        Self { out, buffer }
    }

    /// Begins a family: its samples must follow, all of them.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let lines = [
            "# HELP ",
            name,
            " ",
            help,
            "\n# TYPE ",
            name,
            " ",
            kind,
            "\n",
        ];
        for part in lines {
            self.push(part.as_bytes());
        }
    }

    /// A whole line.
    pub fn sample<const N: usize>(
        &mut self,
        name: &str,
        labels: [(&str, &str); N],
        value: u64,
    ) -> io::Result<()> {
        self.series(name, labels);
        self.number(value);
        self.end()
    }

    /// The part of a line before its value.
    pub fn series<const N: usize>(&mut self, name: &str, labels: [(&str, &str); N]) {
        self.push(&series(name, labels));
        self.push(b"} ");
    }

    /// A part of a line as it is.
    #[inline]
    pub fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// A number as the value.
    #[inline]
    pub fn number(&mut self, number: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        self.buffer
            .extend_from_slice(digits.format(number).as_bytes());
    }

    /// The value of a label, escaped.
    pub fn escaped(&mut self, value: &str) {
        escape(&mut self.buffer, value);
    }

    /// The value of a `target` label, escaped.
    #[inline]
    pub fn target(&mut self, label: Label<'_>) {
        match label {
            Label::Written(name) => escape(&mut self.buffer, name),
            Label::Ip(IpAddr::V4(ip)) => self.ipv4(ip),
            // Only a writer that fails can fail here, and this one does not. Nothing of an address is escaped.
            Label::Ip(_) | Label::Socket(_) => {
                let _ = write!(self.buffer, "{label}");
            }
        }
    }

    /// What `Display` would write, several times as fast: in a large fleet's scrape most would else be this.
    #[inline]
    fn ipv4(&mut self, ip: Ipv4Addr) {
        for (i, octet) in ip.octets().into_iter().enumerate() {
            if i > 0 {
                self.buffer.push(b'.');
            }
            self.number(octet);
        }
    }

    /// A share of 1 as the value.
    pub fn ratio(&mut self, ratio: f64) {
        self.buffer.extend_from_slice(ratio.to_string().as_bytes());
    }

    /// A time (ns) as the value: exactly, in seconds.
    #[inline]
    pub fn seconds(&mut self, nanos: u64) {
        self.number(nanos / 1_000_000_000);
        let mut fraction = *b".000000000";
        let mut rest = nanos % 1_000_000_000;
        for digit in fraction[1..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.push(&fraction);
    }

    /// Ends a line.
    #[inline]
    pub fn end(&mut self) -> io::Result<()> {
        self.buffer.push(b'\n');
        if self.buffer.len() >= CHUNK {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Sends what is left.
    pub fn finish(self) -> io::Result<&'a mut W> {
        self.out.write_all(&self.buffer)?;
        Ok(self.out)
    }
}

/// The beginning of a line: the name and some labels, with room for more.
pub fn series<const N: usize>(name: &str, labels: [(&str, &str); N]) -> Vec<u8> {
    let mut line = Vec::from(name);
    for (i, (label_name, value)) in labels.into_iter().enumerate() {
        line.push(if i == 0 { b'{' } else { b',' });
        label(&mut line, label_name, value);
    }
    line
}

/// Appends `name="value"`.
pub fn label(line: &mut Vec<u8>, name: &str, value: &str) {
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"=\"");
    escape(line, value);
    line.push(b'"');
}

/// Appends a label's value: backslash, quote and line feed are escaped, everything else stands as it is.
fn escape(line: &mut Vec<u8>, value: &str) {
    for &byte in value.as_bytes() {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'"' => line.extend_from_slice(b"\\\""),
            b'\n' => line.extend_from_slice(b"\\n"),
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;
