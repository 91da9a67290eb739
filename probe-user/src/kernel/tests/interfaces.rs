use std::{process::Command, thread};

use probe_common::maps::Settings;
use rustix::thread::UnshareFlags;

use super::*;

/// Runs `test` in a network namespace of its own, which goes with its thread.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(|| {
        // SAFETY: this thread alone changes its network namespace; no file descriptor is unshared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        test();
    });
    thread.join().unwrap();
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.unwrap().success(), "ip {arguments}");
}

fn kernel() -> Option<Kernel> {
    privileged(Kernel::load(1, 1, 1))
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

#[test]
fn a_table_as_large_as_asked_for_is_shared() {
    let Some(mut kernel) = privileged(Kernel::load(100_000, 2, 2)) else {
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
