//! The maps. User space knows them by these names, and gives those with one entry a number for each table, class or group.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use probe_common::{
    batch::Batch,
    beat::BeatFate,
    clock::Clock,
    maps::{Class, Fate, Histogram, Hop, Reflection, Reflector, Settings},
    row::Row,
    simulation::{Reply, Simulation},
};

/// The table: one row a target.
#[map]
pub static ROWS: Array<Row> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What pongs told of their hosts' clocks: beside each row.
#[map]
pub static CLOCKS: Array<Clock> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What a row's class means.
#[map]
pub static CLASSES: Array<Class> = Array::with_max_entries(1, 0);

/// The next hops, by their numbers in the rows; the first is none.
#[map]
pub static HOPS: Array<Hop> = Array::with_max_entries(1, 0);

/// The pings that are due, a batch a CPU.
#[map]
pub static BATCHES: Array<Batch> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// What there is to know of this monitor. An update is not atomic: a pong that arrives in the moment in which the keys
/// change may be taken for a forged one.
#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

/// Pongs by fate.
#[map]
pub static FATES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Fate::ALL.len() as u32, 0);

/// Beats by fate.
#[map]
pub static BEATS: PerCpuArray<u64> = PerCpuArray::with_max_entries(BeatFate::ALL.len() as u32, 0);

/// The row of each service, by the identities of its host and its own.
#[map]
pub static SERVICES: HashMap<[u64; 2], u32> = HashMap::with_max_entries(1, 0);

/// Round-trip times by group.
#[map]
pub static RTT: PerCpuArray<Histogram> = PerCpuArray::with_max_entries(1, 0);

/// What the reflector answers, and how.
#[map]
pub static REFLECTOR: Array<Reflector> = Array::with_max_entries(1, 0);

/// Pings by what became of them.
#[map]
pub static REFLECTIONS: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(Reflection::ALL.len() as u32, 0);

/// The fleet that is simulated.
#[map]
pub static SIMULATION: Array<Simulation> = Array::with_max_entries(1, 0);

/// Pings to that fleet by what became of them.
#[map]
pub static REPLIES: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reply::ALL.len() as u32, 0);

/// The row of a service, if this monitor knows it.
#[inline(always)]
pub fn service(identity: &[u64; 2]) -> Option<&'static Row> {
    // SAFETY: the number is copied at once; user space may change which row is meant, and rows say whose they are.
    let number = unsafe { SERVICES.get(identity) }.copied()?;
    ROWS.get(number)
}

/// Adds one to a counter.
#[inline(always)]
pub fn count(counters: &PerCpuArray<u64>, index: u32) {
    if let Some(counter) = counters.get_ptr_mut(index) {
        // SAFETY: the kernel gave a pointer to this CPU's own value, and no other program that counts runs on this CPU
        // before this one has ended.
        unsafe { *counter += 1 };
    }
}

/// Adds a round-trip time to its group's histogram.
#[inline(always)]
pub fn observe(group: u32, rtt_ns: u32) {
    if let Some(histogram) = RTT.get_ptr_mut(group) {
        // SAFETY: as in `count`.
        let histogram = unsafe { &mut *histogram };
        histogram.observe(rtt_ns);
    }
}

/// The pings that are due on this CPU.
#[inline(always)]
pub fn batch() -> Option<&'static Batch> {
    // SAFETY: the helper takes no argument and touches no memory.
    BATCHES.get(unsafe { bpf_get_smp_processor_id() })
}

/// The monotonic clock, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper takes no argument and touches no memory.
    unsafe { bpf_ktime_get_ns() }
}
