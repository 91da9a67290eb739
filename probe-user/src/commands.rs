//! What `heartprobe COMMAND` does, a file a command.

pub mod check_config;
pub mod demo;
pub mod keygen;
pub mod ping;
pub mod reflect;
pub mod run;
pub mod version;
