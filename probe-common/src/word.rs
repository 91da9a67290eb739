//! The atomic words of the row, in a form that the BPF compiler can build too.
//!
//! On the host these are `core`'s. For BPF up to instruction set v3, LLVM 22 cannot select an atomic load or store, even a relaxed
//! one, though BPF's plain ones of up to 64 bits are whole; so here they are volatile, which neither splits nor drops them.
//! LLVM also takes a relaxed `fetch_add` for one whose result nobody wants, and answers with the addend; with a stronger ordering
//! it is right.

#[cfg(not(target_arch = "bpf"))]
pub use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
pub use bpf::{AtomicU16, AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
#[expect(
    unsafe_code,
    clippy::undocumented_unsafe_blocks,
    reason = "volatile access through the pointer of an atomic, valid as long as the atomic is"
)]
mod bpf {
    use core::sync::atomic::{self, Ordering};

    macro_rules! word {
        ($name:ident, $value:ty) => {
            /// As `core`'s.
            #[repr(transparent)]
            #[derive(Debug, Default)]
            pub struct $name(atomic::$name);

            impl $name {
                /// As `core`'s.
                #[inline(always)]
                pub fn load(&self, _order: Ordering) -> $value {
                    unsafe { self.0.as_ptr().read_volatile() }
                }

                /// As `core`'s.
                #[inline(always)]
                pub fn store(&self, value: $value, _order: Ordering) {
                    unsafe { self.0.as_ptr().write_volatile(value) }
                }
            }
        };
    }

    word!(AtomicU16, u16);
    word!(AtomicU32, u32);
    word!(AtomicU64, u64);

    impl AtomicU32 {
        /// As `core`'s.
        #[inline(always)]
        pub fn fetch_add(&self, value: u32, _order: Ordering) -> u32 {
            self.0.fetch_add(value, Ordering::AcqRel)
        }
    }

    impl AtomicU64 {
        /// As `core`'s.
        #[inline(always)]
        pub fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_and(value, order)
        }

        /// As `core`'s.
        #[inline(always)]
        pub fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_or(value, order)
        }
    }
}
