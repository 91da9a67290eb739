//! The table: one [`Row`] a target, in an mmapped BPF array that the kernel writes pongs into, or, where eBPF is not
//! to be had, in ordinary memory. Everything behind the table is the same code.

use std::{io, os::fd::BorrowedFd};

use memmap2::{MmapOptions, MmapRaw};
use probe_common::row::Row;

/// All rows of this monitor, shared by every thread and by the kernel.
#[derive(Debug)]
pub struct Table {
    memory: MmapRaw,
    rows: usize,
}

impl Table {
    /// A table of `rows` empty rows in ordinary memory.
    pub fn in_memory(rows: u32) -> io::Result<Self> {
        let rows = rows as usize;
        let memory = MmapOptions::new().len(length(rows)).map_anon()?.into();
        Ok(Self { memory, rows })
    }

    /// The table that a `BPF_MAP_TYPE_ARRAY` of `rows` rows with `BPF_F_MMAPABLE` holds.
    pub fn of_map(map: BorrowedFd<'_>, rows: u32) -> io::Result<Self> {
        let rows = rows as usize;
        let memory = MmapOptions::new().len(length(rows)).map_raw(&map)?;
        Ok(Self { memory, rows })
    }

    /// The rows, by target number.
    #[expect(clippy::cast_ptr_alignment, reason = "a mapping is aligned to a page")]
    pub fn rows(&self) -> &[Row] {
        let first = self.memory.as_ptr().cast::<Row>();
        // SAFETY: the mapping is page-aligned, holds `rows` rows (zeroed, a valid `Row`) and lives as long as `self`;
        // a row is atomics alone, so the kernel may write to it meanwhile.
        unsafe { std::slice::from_raw_parts(first, self.rows) }
    }
}

/// A mapping of nothing is refused by the kernel: an empty table still has a row's room.
fn length(rows: usize) -> usize {
    rows.max(1) * size_of::<Row>()
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
        assert!(Table::in_memory(0).unwrap().rows().is_empty());
    }
}
