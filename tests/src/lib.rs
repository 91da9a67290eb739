//! What heartprobe's end-to-end tests stand on: networks in namespaces, a simulated fleet, the daemon under test.
//!
//! Every test builds its own [`net::Net`], so that tests run side by side and no ping leaves the machine.
#![expect(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong in a test panics: that is its failure"
)]

pub mod beats;
pub mod behaviour;
pub mod bpf;
pub mod config;
pub mod daemon;
pub mod frame;
pub mod http;
pub mod metrics;
pub mod net;
pub mod packet;
pub mod peer;
pub mod privilege;
pub mod process;
pub mod raw;
