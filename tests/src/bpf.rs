//! Which BPF programs hang on the wire, as the kernel tells it.

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;

use crate::net::{Namespace, WIRE};

/// How many programs are attached to the namespace's end of the wire: XDP, tcx and `clsact` together.
pub fn programs_on_wire(namespace: &Namespace) -> usize {
    let xdp = usize::from(xdp_mode(namespace).is_some());
    xdp + tcx(namespace) + clsact(namespace)
}

/// `native` or `generic`; `None` where no XDP program is attached.
pub fn xdp_mode(namespace: &Namespace) -> Option<String> {
    let shown = namespace.ip(&format!("-d -j link show {WIRE}"));
    let shown: Value = serde_json::from_str(&shown).expect("ip prints JSON");
    // `mode` as in `enum` of `linux/if_link.h`: XDP_ATTACHED_DRV = 1, XDP_ATTACHED_SKB = 2.
    match shown[0]["xdp"]["mode"].as_u64()? {
        1 => Some("native".into()),
        2 => Some("generic".into()),
        other => Some(format!("mode {other}")),
    }
}

/// Programs attached by tcx, which kernels before 6.6 do not have.
fn tcx(namespace: &Namespace) -> usize {
    let count =
        |side| SchedClassifier::query_tcx(WIRE, side).map_or(0, |(_, programs)| programs.len());
    namespace.enter(|| count(TcAttachType::Egress) + count(TcAttachType::Ingress))
}

fn clsact(namespace: &Namespace) -> usize {
    let filters = |side| namespace.run("tc", &["filter", "show", "dev", WIRE, side]);
    [filters("egress"), filters("ingress")]
        .iter()
        .map(|filters| filters.matches("direct-action").count())
        .sum()
}
