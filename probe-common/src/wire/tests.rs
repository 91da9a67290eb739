extern crate std;

use proptest::prelude::*;

use super::*;

fn message() -> impl Strategy<Value = Message> {
    let kind = prop_oneof![
        Just(Kind::Ping),
        Just(Kind::Pong),
        Just(Kind::Beat),
        Just(Kind::Ack)
    ];
    let words = any::<(u32, u32, u32, u32, u32, u32)>();
    (kind, any::<(u8, u8)>(), words, any::<(u64, u64, u64)>()).prop_map(
        |(
            kind,
            (flags, key),
            (target, seq, epoch, health, boot, session),
            (time, received, sent),
        )| {
            Message {
                kind,
                flags,
                key,
                target,
                seq,
                epoch,
                health,
                time,
                received,
                sent,
                boot,
                session,
            }
        },
    )
}

/// The example of the wire format's description.
#[test]
fn the_documented_example() {
    let key = Key::from_bytes(core::array::from_fn(|i| i as u8));
    let ping = Message::ping(7, 42, 0xdead_beef, 1_234_567_890_123_456_789);
    let mut expected = [0; LEN];
    expected[..4].copy_from_slice(b"HBT1");
    expected[4] = 1;
    expected[8..12].copy_from_slice(&7u32.to_be_bytes());
    expected[12..16].copy_from_slice(&42u32.to_be_bytes());
    expected[16..20].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
    expected[20..24].copy_from_slice(&[0xff; 4]);
    expected[24..32].copy_from_slice(&0x1122_10f4_7de9_8115_u64.to_be_bytes());
    expected[56..].copy_from_slice(&0x1e91_e4cc_4e68_e70b_u64.to_be_bytes());
    assert_eq!(ping.encode(&key).to_bytes(), expected);
}

#[test]
fn what_is_not_a_message() {
    let good = Message::ping(1, 1, 1, 1).encode(&Key::default()).to_bytes();
    assert_eq!(Packet::from_bytes(&good[..63]), Err(Malformed::Length));
    assert_eq!(Packet::from_bytes(&[0; 65]), Err(Malformed::Length));
    assert_eq!(Packet::from_bytes(&[]), Err(Malformed::Length));
    let mut other = good;
    other[3] = b'2';
    assert_eq!(
        Packet::from_bytes(&other).and_then(|p| p.message()),
        Err(Malformed::Magic)
    );
    let mut other = good;
    other[4] = 5;
    assert_eq!(
        Packet::from_bytes(&other).and_then(|p| p.message()),
        Err(Malformed::Kind)
    );
}

proptest! {
    #[test]
    fn round_trip(message in message(), key: [u8; 16]) {
        let key = Key::from_bytes(key);
        let bytes = message.encode(&key).to_bytes();
        let packet = Packet::from_bytes(&bytes).unwrap();
        prop_assert!(packet.signed_by(&key));
        prop_assert_eq!(packet.message(), Ok(message));
    }

    #[test]
    fn any_flipped_bit_fails_the_tag(message in message(), key: [u8; 16], bit in 0..8 * LEN) {
        let key = Key::from_bytes(key);
        let mut bytes = message.encode(&key).to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!Packet::from_bytes(&bytes).unwrap().signed_by(&key));
    }

    #[test]
    fn another_key_fails_the_tag(message in message(), key: [u8; 16], other: [u8; 16]) {
        prop_assume!(key != other);
        prop_assert!(!message.encode(&Key::from_bytes(key)).signed_by(&Key::from_bytes(other)));
    }

    #[test]
    fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..130)) {
        let _ = Packet::from_bytes(&bytes).and_then(|packet| packet.message());
    }

    #[test]
    fn stamping_changes_time_and_tag_alone(message in message(), key: [u8; 16], time: u64) {
        let key = Key::from_bytes(key);
        let mut packet = message.encode(&key);
        packet.set_time(time);
        packet.sign(&key);
        prop_assert!(packet.signed_by(&key));
        prop_assert_eq!(packet.message(), Ok(Message { time, ..message }));
    }
}
