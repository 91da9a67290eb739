//! What a simulated host does with a ping.

use std::{net::SocketAddr, time::Duration};

use probe_common::{
    siphash::Key,
    wire::{Kind, Message, Packet},
};

/// A ping as it reached a simulated host.
#[derive(Clone, Copy, Debug)]
pub struct Ping {
    /// What it says.
    pub message: Message,
    /// The key that the host answers with.
    pub key: Key,
    /// The address that was pinged.
    pub at: SocketAddr,
    /// The monitor's address.
    pub from: SocketAddr,
}

/// One answer, right or wrong.
#[derive(Clone, Debug)]
pub struct Reply {
    /// How long after the ping.
    pub after: Duration,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// Where it is sent from; `None`: from the address that was pinged.
    pub from: Option<SocketAddr>,
}

/// What to answer to each ping.
pub type Behaviour = Box<dyn FnMut(&Ping) -> Vec<Reply> + Send>;

impl Ping {
    /// The pong as the specification has it.
    pub fn pong(&self) -> Message {
        Message {
            kind: Kind::Pong,
            ..self.message
        }
    }

    fn answer(&self) -> Vec<u8> {
        self.pong().encode(&self.key).to_bytes().to_vec()
    }
}

fn at_once(bytes: Vec<u8>) -> Vec<Reply> {
    vec![Reply {
        after: Duration::ZERO,
        bytes,
        from: None,
    }]
}

/// The right answer at once.
pub fn answer() -> Behaviour {
    Box::new(|ping| at_once(ping.answer()))
}

/// No answer.
pub fn silent() -> Behaviour {
    Box::new(|_| Vec::new())
}

/// The right answer, late.
pub fn slow(by: Duration) -> Behaviour {
    Box::new(move |ping| {
        vec![Reply {
            after: by,
            bytes: ping.answer(),
            from: None,
        }]
    })
}

/// No answer to the next pings, then the right one again.
pub fn lose(mut pings: u32) -> Behaviour {
    Box::new(move |ping| {
        if pings == 0 {
            return at_once(ping.answer());
        }
        pings -= 1;
        Vec::new()
    })
}

/// An answer that this changes before it is signed.
pub fn signed_lie(change: impl Fn(&mut Message) + Send + 'static) -> Behaviour {
    Box::new(move |ping| {
        let mut message = ping.pong();
        change(&mut message);
        at_once(message.encode(&ping.key).to_bytes().to_vec())
    })
}

/// The right answer, changed by this after it was signed.
pub fn tampered(change: impl Fn(&mut Vec<u8>) + Send + 'static) -> Behaviour {
    Box::new(move |ping| {
        let mut bytes = ping.answer();
        change(&mut bytes);
        at_once(bytes)
    })
}

/// The right answer, signed with another key.
pub fn wrong_key() -> Behaviour {
    let wrong = Key::from_bytes(*b"not the fleet's!");
    Box::new(move |ping| at_once(ping.pong().encode(&wrong).to_bytes().to_vec()))
}

/// The right answer, from another port of the host.
pub fn wrong_port() -> Behaviour {
    Box::new(|ping| {
        let from = Some(SocketAddr::new(ping.at.ip(), 9));
        vec![Reply {
            after: Duration::ZERO,
            bytes: ping.answer(),
            from,
        }]
    })
}

/// The right answer, from another host's address.
pub fn from_stranger(stranger: SocketAddr) -> Behaviour {
    Box::new(move |ping| {
        vec![Reply {
            after: Duration::ZERO,
            bytes: ping.answer(),
            from: Some(stranger),
        }]
    })
}

/// The first ping is answered; its pong is all that later pings get.
pub fn replay() -> Behaviour {
    let mut recorded = None;
    Box::new(move |ping| at_once(recorded.get_or_insert_with(|| ping.answer()).clone()))
}

/// The ping itself, sent back.
pub fn echo() -> Behaviour {
    Box::new(|ping| {
        let ping: Packet = ping.message.encode(&ping.key);
        at_once(ping.to_bytes().to_vec())
    })
}

/// Both answers to each ping.
pub fn both(mut one: Behaviour, mut other: Behaviour) -> Behaviour {
    Box::new(move |ping| {
        let mut replies = one(ping);
        replies.extend(other(ping));
        replies
    })
}
