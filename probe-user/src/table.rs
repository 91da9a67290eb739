//! The table: one [`Row`] a target and what is known of its host's [`Clock`], in mmapped BPF arrays that the kernel writes
//! pongs into, or, where eBPF is not to be had, in ordinary memory. Everything behind the table is the same code.

use std::{io, marker::PhantomData, os::fd::BorrowedFd};

use memmap2::{MmapOptions, MmapRaw};
use probe_common::{clock::Clock, row::Row};

/// All rows of this monitor, shared by every thread and by the kernel.
#[derive(Debug)]
pub struct Table {
    rows: Array<Row>,
    clocks: Array<Clock>,
}

impl Table {
    /// A table of `rows` empty rows in ordinary memory.
    pub fn in_memory(rows: u32) -> io::Result<Self> {
        Ok(Self {
            rows: Array::map(rows, |options| options.map_anon().map(Into::into))?,
            clocks: Array::map(rows, |options| options.map_anon().map(Into::into))?,
        })
    }

    /// The table that two `BPF_MAP_TYPE_ARRAY`s of `rows` entries with `BPF_F_MMAPABLE` hold.
    pub fn of_maps(
        row_map: BorrowedFd<'_>,
        clock_map: BorrowedFd<'_>,
        rows: u32,
    ) -> io::Result<Self> {
        Ok(Self {
            rows: Array::map(rows, |options| options.map_raw(&row_map))?,
            clocks: Array::map(rows, |options| options.map_raw(&clock_map))?,
        })
    }

    /// The rows, by target number.
    pub fn rows(&self) -> &[Row] {
        self.rows.entries()
    }

    /// What the targets' pongs told of their hosts' clocks, by target number.
    pub fn clocks(&self) -> &[Clock] {
        self.clocks.entries()
    }
}

/// What may lie in a mapping that the kernel writes to as well.
///
/// # Safety
/// It must be atomics alone, valid where all bytes are zero, and aligned to no more than a page.
unsafe trait Shared {}

// SAFETY: atomics alone.
unsafe impl Shared for Row {}
// SAFETY: atomics alone.
unsafe impl Shared for Clock {}

/// A mapping of so many entries.
#[derive(Debug)]
struct Array<T> {
    memory: MmapRaw,
    entries: usize,
    of: PhantomData<T>,
}

impl<T: Shared> Array<T> {
    fn map(
        entries: u32,
        map: impl FnOnce(&MmapOptions) -> io::Result<MmapRaw>,
    ) -> io::Result<Self> {
        let entries = entries as usize;
        // A mapping of nothing is refused by the kernel: an empty array still has an entry's room.
        let length = entries.max(1) * size_of::<T>();
        Ok(Self {
            memory: map(MmapOptions::new().len(length))?,
            entries,
            of: PhantomData,
        })
    }

    fn entries(&self) -> &[T] {
        let first = self.memory.as_ptr().cast::<T>();
        // SAFETY: the mapping is page-aligned, holds so many entries (zeroed at first) and lives as long as `self`; they are
        // atomics alone, so the kernel may write to them meanwhile.
        unsafe { std::slice::from_raw_parts(first, self.entries) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_memory_start_empty_and_keep_what_is_written() {
        let table = Table::in_memory(3).unwrap();
        assert_eq!(table.rows().len(), 3);
        let seq = table.rows()[2].open();
        assert!(table.rows()[2].is_open(seq));
        assert_eq!(table.rows()[1].sent(), 0);
    }

    #[test]
    fn a_table_may_be_empty() {
        let table = Table::in_memory(0).unwrap();
        assert!(table.rows().is_empty() && table.clocks().is_empty());
    }
}
