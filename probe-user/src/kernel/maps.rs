//! The maps' values as the daemon reads and writes them.

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData, MapError, PerCpuArray},
};
use probe_common::{
    maps::{Class, Histogram, Hop, Reflector, Settings},
    simulation::Simulation,
};

use super::load::{LoadError, missing, other};

/// A value as a map holds it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Value<T>(pub(super) T);

// SAFETY: integers, keys and addresses (two integers) in a `repr(C)` struct without padding: any bytes are one.
unsafe impl Pod for Value<Settings> {}
// SAFETY: as above.
unsafe impl Pod for Value<Class> {}
// SAFETY: as above.
unsafe impl Pod for Value<Histogram> {}
// SAFETY: as above.
unsafe impl Pod for Value<Reflector> {}
// SAFETY: as above.
unsafe impl Pod for Value<Hop> {}
// SAFETY: as above.
unsafe impl Pod for Value<Simulation> {}

/// Takes a map out of a loaded object.
pub(super) fn take<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| missing("map", name))?;
    map.try_into().map_err(other)
}

/// The sum over all CPUs of each value of a map; what cannot be read counts as nothing.
pub(super) fn sums<V: Pod, S: Default>(
    map: &PerCpuArray<MapData, V>,
    add: impl Fn(&mut S, V),
) -> Vec<S> {
    map.iter()
        .map(|cpus| {
            let mut sum = S::default();
            for &value in cpus.iter().flat_map(|cpus| cpus.iter()) {
                add(&mut sum, value);
            }
            sum
        })
        .collect()
}

/// The sum over all CPUs of each of `N` counters.
pub(super) fn counts<const N: usize>(map: &PerCpuArray<MapData, u64>) -> [u64; N] {
    let sums = sums(map, |sum: &mut u64, count| *sum += count);
    std::array::from_fn(|i| sums.get(i).copied().unwrap_or(0))
}
