use std::net::UdpSocket;

use probe_common::{
    maps::{Fate, Reflector, Settings},
    wire::Message,
};

use super::{
    network::{in_namespace, ip, is_up, wait_for},
    *,
};
use crate::kernel::reflect::ReflectKernel;

fn kernel() -> Option<Kernel> {
    privileged(Kernel::load(room(1, 1, 1, 1)))
}

fn stamps_here() -> bool {
    use aya::util::KernelVersion;
    KernelVersion::current().unwrap() >= KernelVersion::new(6, 6, 0)
}

#[test]
fn native_where_the_driver_has_it_else_generic() {
    let Some(mut kernel) = kernel() else { return };
    in_namespace(move || {
        ip("link add probe0 type veth peer name probe1");
        for (interface, want, receive) in [
            ("probe0", Want::Auto, Mode::Native),
            ("probe1", Want::Generic, Mode::Generic),
            ("lo", Want::Auto, Mode::Generic),
        ] {
            let stamp = stamps_here();
            let attached = kernel.attach(interface, want).unwrap();
            assert_eq!(attached, Attached { receive, stamp }, "{interface}");
            let again = kernel.attach(interface, want).unwrap();
            assert_eq!(again, attached, "{interface}");
        }
        assert_eq!(kernel.attached().count(), 3);
        kernel.detach("lo");
        let refused = kernel.attach("lo", Want::Native);
        assert!(matches!(refused, Err(AttachError::Refused { .. })));
        assert_eq!(kernel.attached().count(), 2);
    });
}

#[test]
fn another_program_is_left_in_its_place() {
    let (Some(mut first), Some(mut second)) = (kernel(), kernel()) else {
        return;
    };
    in_namespace(move || {
        for want in [Want::Auto, Want::Generic] {
            first.attach("lo", want).unwrap();
            let error = second.attach("lo", Want::Auto).unwrap_err();
            assert_eq!(
                error.to_string(),
                "another XDP program is attached to lo; heartprobe takes its pongs through the socket there"
            );
            first.detach("lo");
        }
        second.attach("lo", Want::Auto).unwrap();
    });
}

#[test]
fn an_interface_may_go_and_come_again() {
    let Some(mut kernel) = kernel() else { return };
    in_namespace(move || {
        let missing = kernel.attach("probe0", Want::Auto);
        assert!(matches!(missing, Err(AttachError::NoInterface(_))));
        for _ in 0..2 {
            ip("link add probe0 type veth peer name probe1");
            kernel.attach("probe0", Want::Auto).unwrap();
            ip("link del probe0");
        }
        kernel.detach("probe0");
        assert_eq!(kernel.attached().count(), 0);
    });
}

/// Both ends of a veth pair in one namespace: what a socket sends through the one comes in at the other.
fn veth_pair() {
    ip("link add probe0 type veth peer name probe1");
    ip("addr add 198.18.0.1/24 dev probe0");
    ip("addr add fd00::1/64 dev probe0 nodad");
    for end in ["probe0", "probe1"] {
        ip(&format!("link set {end} up"));
    }
    // The kernel brings them up some time later, and drops until then what is sent.
    for end in ["probe0", "probe1"] {
        wait_for(end, || is_up(end));
    }
    for (_, host) in ends() {
        ip(&format!(
            "neigh add {} lladdr 02:00:00:00:00:02 dev probe0",
            host.ip()
        ));
    }
}

/// Pings over IPv4 and IPv6, from a socket at one end to the program at the other, and back.
fn round_trips(want: Want) {
    let (Some(mut monitor), Some(mut host)) = (
        privileged(Kernel::load(room(2, 1, 1, 1))),
        privileged(ReflectKernel::load()),
    ) else {
        return;
    };
    let settings = Settings {
        keys: keys(),
        epoch: EPOCH,
        rows: 2,
        ports: PORTS,
    };
    monitor.set_settings(&settings).unwrap();
    let class = Class {
        timeout_ns: u32::MAX,
        late_after_ns: u32::MAX,
        group: 0,
    };
    monitor.set_classes(&[class]).unwrap();
    let reflector = Reflector {
        keys: keys(),
        port: 4862,
        ..Reflector::default()
    };
    host.set(&reflector).unwrap();
    let table = monitor.table().unwrap();
    in_namespace(move || {
        veth_pair();
        let attached = monitor.attach("probe0", want).unwrap();
        assert_eq!(host.attach("probe1", want).unwrap(), attached.receive);
        for ((number, row), (from, to)) in (0..).zip(table.rows()).zip(ends()) {
            row.assign(to.ip().into(), to.port(), 0);
            // Of a time long ago, so that only a stamped one can come back in time.
            let time = if attached.stamp { 1 } else { now() };
            let ping = Message::ping(number, row.open(), EPOCH, time).encode(&keys()[0]);
            let socket = UdpSocket::bind(from).unwrap();
            socket.send_to(&ping.to_bytes(), to).unwrap();
            wait_for("a pong", || row.pongs() == 1);
        }
        assert_eq!(host.counts(), [2, 0, 0]);
        assert_eq!(monitor.counters().received().fates[Fate::Ok as usize], 2);
    });
}

// Between the ends of a veth pair, native XDP sends only to an end that has a native program too.
#[test]
fn a_ping_is_stamped_reflected_and_received_natively() {
    round_trips(Want::Native);
}

#[test]
fn a_ping_is_stamped_reflected_and_received_generically() {
    round_trips(Want::Generic);
}

#[test]
fn a_table_as_large_as_asked_for_is_shared() {
    let Some(mut kernel) = privileged(Kernel::load(room(100_000, 2, 2, 1))) else {
        return;
    };
    let (one, two) = (kernel.table().unwrap(), kernel.table().unwrap());
    assert_eq!(one.rows().len(), 100_000);
    one.rows()[99_999].open();
    assert_eq!(two.rows()[99_999].sent(), 1);
    kernel.set_classes(&[Class::default(); 2]).unwrap();
    assert!(kernel.set_classes(&[Class::default(); 3]).is_err());
    assert_eq!(kernel.counters().received().rtt.len(), 2);
    kernel.set_settings(&Settings::default()).unwrap();
}
