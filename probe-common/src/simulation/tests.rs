extern crate std;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn fleet(seed: u64, hosts: u32, ill: [u32; 5]) -> Simulation {
    Simulation {
        first: Address::from(IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0))),
        seed,
        begin: 100 * SECOND,
        flap: 10 * SECOND,
        outage: [130 * SECOND, 140 * SECOND],
        hosts,
        ill,
        loss_ppm: 100_000,
        stride: stride(seed, hosts),
    }
}

/// A fleet in which every host plays this part.
fn all(part: Part, seed: u64) -> Simulation {
    let mut ill = [0; 5];
    if let Some(at) = Part::ILL.iter().position(|&one| one == part) {
        ill[at] = 1000;
    }
    fleet(seed, 1000, ill)
}

proptest! {
    #[test]
    fn each_part_is_played_by_as_many_as_it_is_told(seed: u64, shares in prop::array::uniform5(0_u32..400), more in 1_u32..3000) {
        let hosts = shares.iter().sum::<u32>() + more;
        let fleet = fleet(seed, hosts, shares);
        let mut counts = [0; 6];
        for number in 0..hosts {
            counts[fleet.part(number) as usize] += 1;
        }
        prop_assert_eq!(&counts[1..], &shares);
    }

    #[test]
    fn addresses_and_numbers_lead_to_each_other(hosts in 1_u32..1 << 20, number: u32, first: Ipv6Addr) {
        let number = number % hosts;
        let fleet = Simulation { first: Address::from(IpAddr::V6(first)), ..fleet(1, hosts, [0; 5]) };
        // A fleet does not reach over the end of its half of the address.
        prop_assume!(first.to_bits() as u64 <= u64::MAX - u64::from(hosts));
        prop_assert_eq!(fleet.number(fleet.address(number)), Some(number));
        prop_assert_eq!(fleet.number(fleet.address(hosts)), None);
        let Address([high, low]) = fleet.address(number);
        prop_assert_eq!(fleet.number(Address([high ^ 1, low])), None);
    }

    #[test]
    fn lossy_hosts_lose_their_share(seed: u64, loss_ppm in 0_u32..=1_000_000) {
        let fleet = Simulation { loss_ppm, ..all(Part::Lossy, seed) };
        let lost = (0..1000).flat_map(|host| (1..=40).map(move |seq| (host, seq)))
            .filter(|&(host, seq)| fleet.reply(host, seq, 0) == Reply::None)
            .count();
        // Six standard deviations of 40,000 draws are at most 600.
        let expected = f64::from(loss_ppm) / 1e6 * 40_000.0;
        prop_assert!((lost as f64 - expected).abs() <= 600.0, "{} of 40000 for {} ppm", lost, loss_ppm);
    }

    #[test]
    fn a_phase_is_as_long_as_it_is_told_and_tells_when_it_began(seed: u64, number in 0_u32..1000, now in 130 * SECOND..1000 * SECOND) {
        let fleet = all(Part::Flapping, seed);
        let at = |now| fleet.phase(Part::Flapping, number, now);
        let phase = at(now);
        prop_assert!(now - phase.since < fleet.flap);
        prop_assert_eq!(at(phase.since), phase);
        prop_assert_eq!(at(phase.since + fleet.flap - 1), phase);
        prop_assert_eq!(at(phase.since + fleet.flap), Phase { answers: !phase.answers, since: phase.since + fleet.flap });
        prop_assert_eq!(fleet.reply(number, 1, now) == Reply::AtOnce, phase.answers);
    }

    #[test]
    fn nothing_panics(words: [u64; 9], halves: [u32; 8], number: u32, seq: u32, now: u64) {
        let [a, b, seed, begin, flap, from, until, ..] = words;
        let [hosts, ill @ .., loss_ppm, stride] = halves;
        let flap = flap >> 1;
        let fleet = Simulation { first: Address([a, b]), seed, begin, flap, outage: [from, until], hosts, ill, loss_ppm, stride };
        let _ = fleet.number(Address([a, words[7]]));
        let _ = fleet.reply(number, seq, now >> 1);
    }
}

#[test]
fn the_same_seed_is_the_same_fate_and_another_seed_another() {
    let fates = |seed| -> Vec<Reply> {
        let fleet = fleet(seed, 1000, [10, 10, 300, 10, 100]);
        (0..1000)
            .flat_map(|host| [1, 2].map(|seq| fleet.reply(host, seq, 135 * SECOND)))
            .collect()
    };
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
}

#[test]
fn parts_are_spread_over_the_fleet() {
    let fleet = fleet(1, 1 << 20, [1 << 10, 0, 0, 0, 0]);
    let dead: Vec<u32> = (0..1 << 20)
        .filter(|&number| fleet.part(number) == Part::Dead)
        .collect();
    for quarter in dead.chunk_by(|a, b| a >> 18 == b >> 18) {
        assert!((200..312).contains(&quarter.len()), "{}", quarter.len());
    }
}

#[test]
fn the_dead_are_silent_and_an_outage_ends() {
    let ill = |part, now| all(part, 7).reply(3, 1, now * SECOND);
    for now in [0, 135, 1000] {
        assert_eq!(ill(Part::Well, now), Reply::AtOnce);
        assert_eq!(ill(Part::Dead, now), Reply::None);
        assert_eq!(ill(Part::Late, now), Reply::Later);
    }
    let outage = [129, 130, 139, 140].map(|now| ill(Part::Outage, now));
    assert_eq!(
        outage,
        [Reply::AtOnce, Reply::None, Reply::None, Reply::AtOnce]
    );
}

#[test]
fn flapping_hosts_do_not_flap_together() {
    let fleet = all(Part::Flapping, 1);
    let silent = (0..1000)
        .filter(|&number| !fleet.phase(Part::Flapping, number, 200 * SECOND).answers)
        .count();
    assert!((400..600).contains(&silent), "{silent}");
}
