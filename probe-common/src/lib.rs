//! What heartprobe's kernel and user space share.
//!
//! The same source compiles for BPF and for the host: the message on the wire ([`wire`]), its tag
//! ([`siphash`]) and the headers before it ([`headers`]), one target's cache line ([`row`]) and its host's clock ([`clock`]), the pings that
//! are due ([`batch`]) and the ports that they leave from ([`ports`]), the values of the other BPF maps ([`maps`]), the rules by which a ping is answered
//! ([`reflect`]), a pong is judged ([`pong`]) and a beat ([`beat`]), and what a simulated fleet does ([`simulation`]).
#![no_std]
// Only `word` holds any, and only for BPF.
#![deny(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "a call costs the BPF side a frame of its 512-byte stack"
)]

pub mod address;
pub mod batch;
pub mod beat;
pub mod checksum;
pub mod clock;
pub mod headers;
pub mod maps;
pub mod pong;
pub mod ports;
pub mod reflect;
pub mod row;
pub mod simulation;
pub mod siphash;
pub mod wire;
mod word;
