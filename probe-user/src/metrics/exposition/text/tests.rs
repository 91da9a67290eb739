use proptest::prelude::*;

use super::*;

/// Reads a value back as Prometheus does.
fn unescape(value: &str) -> String {
    let mut plain = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("\\{other:?} in {value:?}"),
            },
            '"' | '\n' => panic!("{c:?} stands bare in {value:?}"),
            c => c,
        });
    }
    plain
}

fn written(write: impl FnOnce(&mut Text<'_, Vec<u8>>)) -> String {
    let mut out = Vec::new();
    let mut text = Text::new(&mut out);
    write(&mut text);
    text.finish().unwrap();
    String::from_utf8(out).unwrap()
}

proptest! {
    #[test]
    fn values_read_back_as_they_were(values: Vec<String>, odd in "[\\\\\"\n\ra]*") {
        let values = [values, vec![odd]].concat();
        let mut labels = Labels::default();
        for value in &values {
            labels.push(format_args!("{value}"));
        }
        let read: Vec<_> = labels
            .iter()
            .map(|value| unescape(std::str::from_utf8(value).unwrap()))
            .collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn times_are_exact(nanos: u64) {
        let text = written(|text| text.seconds(nanos));
        let (seconds, fraction) = text.split_once('.').unwrap();
        prop_assert_eq!(fraction.len(), 9);
        let read = seconds.parse::<u128>().unwrap() * 1_000_000_000 + fraction.parse::<u128>().unwrap();
        prop_assert_eq!(read, u128::from(nanos));
    }
}

#[test]
fn a_value_in_parts_is_escaped_in_each() {
    let mut labels = Labels::default();
    labels.push(format_args!("a\"{}\n{}", "b\\", 7));
    assert_eq!(labels.iter().collect::<Vec<_>>(), [b"a\\\"b\\\\\\n7"]);
}

#[test]
fn long_text_goes_out_in_chunks() {
    struct Chunks(Vec<usize>);
    impl Write for Chunks {
        fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
            self.0.push(chunk.len());
            Ok(chunk.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut chunks = Chunks(Vec::new());
    let mut text = Text::new(&mut chunks);
    for i in 0..100_000_u64 {
        text.sample("a", [("b", "c")], i).unwrap();
    }
    text.finish().unwrap();
    let (last, whole) = chunks.0.split_last().unwrap();
    assert!(whole.len() > 10 && *last > 0);
    assert!(
        whole.iter().all(|len| (CHUNK..CHUNK + 100).contains(len)),
        "{whole:?}"
    );
}
