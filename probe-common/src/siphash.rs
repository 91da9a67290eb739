//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), over whole words.
//!
//! A byte-stream hasher with its buffer and loops does not suit the BPF verifier; a message is always 56
//! bytes, that is seven words, so the kernel needs no more than [`siphash24`] over an array of words.

/// A fleet's 128-bit key.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Key {
    k0: u64,
    k1: u64,
}

impl Key {
    /// The key that 16 bytes spell, in their order.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self {
            k0: both as u64,
            k1: (both >> 64) as u64,
        }
    }

    /// Whether this is the all-zero key, with which an unkeyed fleet works.
    pub const fn is_zero(&self) -> bool {
        self.k0 == 0 && self.k1 == 0
    }
}

/// Never shows the key itself: logs are read by more people than key files.
impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.is_zero() {
            "Key(zero)"
        } else {
            "Key(..)"
        })
    }
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    const fn new(key: &Key) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    const fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    const fn finish(mut self) -> u64 {
        self.v2 ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.round();
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

/// SipHash-2-4 over seven little-endian words, 56 bytes.
#[inline(always)]
pub const fn siphash24(key: &Key, words: [u64; 7]) -> u64 {
    let mut state = State::new(key);
    // One by one: of a loop the BPF compiler would make one, and keep the words on the stack for it.
    state.absorb(words[0]);
    state.absorb(words[1]);
    state.absorb(words[2]);
    state.absorb(words[3]);
    state.absorb(words[4]);
    state.absorb(words[5]);
    state.absorb(words[6]);
    // The last block holds the length in its top byte; no odd bytes are left over.
    state.absorb(56 << 56);
    state.finish()
}

/// SipHash-2-4 over bytes of any length: for names, on the host.
pub fn siphash24_bytes(key: &Key, bytes: &[u8]) -> u64 {
    let mut state = State::new(key);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    state.absorb(u64::from_le_bytes(last) | ((bytes.len() as u64) << 56));
    state.finish()
}

/// The identity of a host or a service: 64 bits of its name, under the all-zero key.
pub fn identity(name: &str) -> u64 {
    siphash24_bytes(&Key::default(), name.as_bytes())
}

#[cfg(test)]
mod tests;
