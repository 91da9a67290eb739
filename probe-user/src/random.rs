//! Random bits from the kernel: keys and epochs.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// `N` random bytes.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // Up to 256 bytes come whole, or not at all (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}

/// A sender's epoch: never 0, which stands for none.
pub fn epoch() -> io::Result<u32> {
    bytes().map(|bytes| u32::from_ne_bytes(bytes).max(1))
}
