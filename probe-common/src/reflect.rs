//! The rules by which a ping is answered: one source for the XDP program and for the reflector in user space.

use crate::{
    maps::{Reflection, Reflector},
    wire::{Kind, Packet},
};

impl Reflector {
    /// The pong to a ping with the right tag, signed with the key that verified; else why there is none. A pong is never
    /// answered, so two reflectors cannot loop. `received` and `sent` in ns since the Unix epoch, 0 = not known.
    #[inline(always)]
    pub fn answer(&self, packet: &Packet, received: u64, sent: u64) -> Result<Packet, Reflection> {
        let Ok(ping) = packet.message() else {
            return Err(Reflection::Malformed);
        };
        if !matches!(ping.kind, Kind::Ping) {
            return Err(Reflection::Malformed);
        }
        let Some(key) = packet.signer(&self.keys) else {
            return Err(Reflection::Forged);
        };
        let pong = ping.pong(self.health, self.boot, received, sent);
        Ok(pong.encode(key))
    }

    /// The monotonic time `monotonic` (ns) as ns since the Unix epoch; 0 where the offset is not known.
    #[inline(always)]
    pub const fn unix_time(&self, monotonic: u64) -> u64 {
        match self.clock_offset_ns {
            0 => 0,
            offset => monotonic.wrapping_add(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{siphash::Key, wire::Message};

    fn reflector() -> Reflector {
        Reflector {
            keys: [1, 2].map(|byte| Key::from_bytes([byte; 16])),
            health: 0x1234_5678,
            boot: 9,
            ..Reflector::default()
        }
    }

    #[test]
    fn the_pong_echoes_and_is_signed_with_the_key_that_verified() {
        let reflector = reflector();
        let ping = Message {
            key: 1,
            ..Message::ping(7, 42, 5, 1_000)
        };
        for key in reflector.keys {
            let pong = reflector.answer(&ping.encode(&key), 11, 12).unwrap();
            assert!(pong.signed_by(&key));
            let expected = Message {
                kind: Kind::Pong,
                health: 0x1234_5678,
                boot: 9,
                received: 11,
                sent: 12,
                ..ping
            };
            assert_eq!(pong.message(), Ok(expected));
        }
    }

    #[test]
    fn no_stranger_and_no_pong_is_answered() {
        let reflector = reflector();
        let ping = Message::ping(7, 42, 5, 1_000);
        let stranger = ping.encode(&Key::from_bytes([3; 16]));
        assert_eq!(reflector.answer(&stranger, 0, 0), Err(Reflection::Forged));
        let key = &reflector.keys[0];
        for kind in [Kind::Pong, Kind::Beat, Kind::Ack] {
            let packet = Message { kind, ..ping }.encode(key);
            assert_eq!(reflector.answer(&packet, 0, 0), Err(Reflection::Malformed));
        }
        let mut noise = ping.encode(key);
        noise.0[0] = 0;
        assert_eq!(reflector.answer(&noise, 0, 0), Err(Reflection::Malformed));
    }

    #[test]
    fn an_unknown_clock_tells_no_time() {
        let mut reflector = reflector();
        assert_eq!(reflector.unix_time(5), 0);
        reflector.clock_offset_ns = 100;
        assert_eq!(reflector.unix_time(5), 105);
    }
}
