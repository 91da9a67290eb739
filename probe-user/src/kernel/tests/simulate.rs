use probe_common::{
    address::Address,
    maps::Reflector,
    simulation::{Part, Reply, Simulation, stride},
    wire::Message,
};

use super::*;
use crate::kernel::simulate::SimulateKernel;

/// As many hosts of each part as of any other.
const HOSTS: u32 = 60;

fn simulation(first: SocketAddr) -> Simulation {
    // Flapping and outage are half over whenever this runs.
    let now = now();
    let second = 1_000_000_000;
    Simulation {
        first: Address::from(first.ip()),
        seed: 5,
        begin: now - 10 * second,
        flap: 1000 * second,
        outage: [now - 1000 * second, now + 1000 * second],
        hosts: HOSTS,
        ill: [10; 5],
        loss_ppm: 400_000,
        stride: stride(5, HOSTS),
    }
}

#[test]
fn the_program_answers_for_each_host_as_its_part_has_it() {
    let Some(mut kernel) = privileged(SimulateKernel::load()) else {
        return;
    };
    let reflector = Reflector {
        keys: keys(),
        port: 4862,
        ..Reflector::default()
    };
    kernel.set_reflector(&reflector).unwrap();
    let mut expected = [0; Reply::ALL.len()];
    let mut silent_parts = Vec::new();
    for (monitor, first) in ends() {
        let simulation = simulation(first);
        kernel.set(&simulation).unwrap();
        for (number, seq) in (0..HOSTS).flat_map(|number| (1..9).map(move |seq| (number, seq))) {
            let host = SocketAddr::new(simulation.address(number).ip(), 4862);
            let ping = Message::ping(number, seq, EPOCH, 1_234);
            let frame = Frame::new(monitor, host, &ping.encode(&keys()[1]));
            let (action, out) = run(kernel.program.as_fd(), &frame.bytes()).unwrap();
            let reply = simulation.reply(number, seq, now());
            expected[reply as usize] += 1;
            match reply {
                Reply::AtOnce => {
                    let pong = Frame {
                        macs: [frame.macs[1], frame.macs[0]],
                        ttl: 64,
                        ..Frame::new(host, monitor, &ping.pong(0, 0, 0, 0).encode(&keys()[1]))
                    };
                    assert_eq!((action, out), (XDP_TX, pong.bytes()), "{number} {seq}");
                }
                Reply::Later => assert_eq!((action, out), (XDP_PASS, frame.bytes())),
                Reply::None => {
                    assert_eq!((action, out), (XDP_DROP, frame.bytes()));
                    silent_parts.push(simulation.part(number));
                }
            }
        }
    }
    assert_eq!(kernel.replies(), expected);
    for part in [Part::Dead, Part::Flapping, Part::Lossy, Part::Outage] {
        assert!(silent_parts.contains(&part), "{part:?}");
    }
}

#[test]
fn what_is_for_nobody_of_the_fleet_passes() {
    let Some(mut kernel) = privileged(SimulateKernel::load()) else {
        return;
    };
    let ping = Message::ping(7, 42, EPOCH, 1_234).encode(&keys()[0]);
    let [(monitor, first), _] = ends();
    let passes = |kernel: &SimulateKernel, frame: &[u8]| {
        let (action, out) = run(kernel.program.as_fd(), frame).unwrap();
        assert_eq!((action, out.as_slice()), (XDP_PASS, frame));
    };
    let right = Frame::new(monitor, first, &ping);
    passes(&kernel, &right.bytes());

    let reflector = Reflector {
        keys: keys(),
        port: 4862,
        ..Reflector::default()
    };
    kernel.set_reflector(&reflector).unwrap();
    let well = Simulation {
        ill: [0; 5],
        ..simulation(first)
    };
    kernel.set(&well).unwrap();
    let beyond = SocketAddr::new(well.address(HOSTS).ip(), 4862);
    passes(&kernel, &Frame::new(monitor, beyond, &ping).bytes());
    let another_port = SocketAddr::new(first.ip(), 4863);
    passes(&kernel, &Frame::new(monitor, another_port, &ping).bytes());
    for (_, stranger) in strangers(&right) {
        passes(&kernel, &stranger);
    }
    assert_eq!(kernel.replies(), [0; Reply::ALL.len()]);
}
