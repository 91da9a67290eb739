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
    fn values_read_back_as_they_were(value: String, odd in "[\\\\\"\n\ra]*") {
        for value in [value, odd] {
            let read = unescape(&written(|text| text.target(Label::Written(&value))));
            prop_assert_eq!(read, value);
        }
    }

    #[test]
    fn addresses_stand_as_they_display(ip: IpAddr, port: u16) {
        for label in [Label::Ip(ip), Label::Socket((ip, port).into())] {
            prop_assert_eq!(written(|text| text.target(label)), label.to_string());
        }
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
    for i in 0..300_000_u64 {
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
