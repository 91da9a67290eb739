use proptest::prelude::*;

use super::*;

fn ip(text: &str, port: Option<u16>) -> Written<'_> {
    let what = What::Ip(text.parse().unwrap(), text);
    Written { what, port }
}

fn net(text: &str, port: Option<u16>) -> Written<'_> {
    let what = What::Block(text.parse().unwrap());
    Written { what, port }
}

#[test]
fn forms() {
    assert_eq!(parse("192.0.2.1"), Ok(ip("192.0.2.1", None)));
    assert_eq!(parse("192.0.2.1:9"), Ok(ip("192.0.2.1", Some(9))));
    assert_eq!(parse("2001:db8::7"), Ok(ip("2001:db8::7", None)));
    assert_eq!(parse("[2001:db8::7]"), Ok(ip("2001:db8::7", None)));
    assert_eq!(parse("[2001:db8::7]:9"), Ok(ip("2001:db8::7", Some(9))));
    assert_eq!(parse("192.0.2.0/24"), Ok(net("192.0.2.0/24", None)));
    assert_eq!(parse("192.0.2.0/24:9"), Ok(net("192.0.2.0/24", Some(9))));
    assert_eq!(parse("2001:db8::/120"), Ok(net("2001:db8::/120", None)));
    assert_eq!(
        parse("2001:db8::/120:9"),
        Ok(net("2001:db8::/120", Some(9)))
    );
    assert_eq!(
        parse("[2001:db8::/120]:9"),
        Ok(net("2001:db8::/120", Some(9)))
    );
    let what = What::Name("web_1.example.org.");
    let port = Some(9);
    assert_eq!(parse("web_1.example.org.:9"), Ok(Written { what, port }));
}

#[test]
fn no_forms() {
    let says = |text| parse(text).unwrap_err();
    for (text, said) in [
        ("", "is empty; write an address, a name or a block"),
        ("a:0", r#""0" is no port; ports are 1 to 65535"#),
        ("a:", r#""" is no port; ports are 1 to 65535"#),
        ("a:+1", r#""+1" is no port; ports are 1 to 65535"#),
        (
            "192.0.2.256",
            r#""192.0.2.256" is no IPv4 address; write four numbers of 0 to 255"#,
        ),
        (
            "10.0",
            r#""10.0" is no IPv4 address; write four numbers of 0 to 255"#,
        ),
        (
            "2001:db8::7:g",
            r#""2001:db8::7:g" is no IPv6 address; a port goes behind brackets: [2001:db8::7]:4862"#,
        ),
        (
            "[2001:db8::7",
            r#""[2001:db8::7" has no closing bracket; write [2001:db8::7]"#,
        ),
        (
            "[2001:db8::7]9",
            r#""9" after the bracket; a port is written [2001:db8::7]:4862"#,
        ),
        (
            "[a]:9",
            r#""a" is no IPv6 address; brackets are for IPv6 addresses alone"#,
        ),
        ("a b", r#""a b" is no host: ' ' cannot be in a name"#),
        ("http://a", r#""//a" is no port; ports are 1 to 65535"#),
        (
            "a..b",
            r#""a..b" is no host; the parts of a name have 1 to 63 characters, 253 in all"#,
        ),
        (
            "fe80::1%eth0",
            r#""fe80::1%eth0" names an interface; write a global address"#,
        ),
        (
            "::ffff:192.0.2.1",
            "::ffff:192.0.2.1 is an IPv4 address in IPv6 form; write 192.0.2.1",
        ),
        (
            "224.0.0.1",
            "224.0.0.1 is a multicast address; list the hosts one by one",
        ),
        ("0.0.0.0", "0.0.0.0 is no host's address"),
        (
            "a/24",
            r#""a" is no address; a block is written 198.51.100.0/24"#,
        ),
        (
            "192.0.2.1/24",
            "192.0.2.1/24 has host bits set; write 192.0.2.0/24 for the block or 192.0.2.1 for the host",
        ),
    ] {
        assert_eq!(says(text), said);
    }
}

#[test]
fn blocks() {
    let spell = |text: &str| -> Vec<String> {
        let net: IpNet = text.parse().unwrap();
        let hosts: Vec<_> = hosts(net).map(|ip| ip.to_string()).collect();
        assert_eq!(hosts.len() as u128, host_count(net));
        hosts
    };
    assert_eq!(spell("192.0.2.8/30"), ["192.0.2.9", "192.0.2.10"]);
    assert_eq!(spell("192.0.2.8/31"), ["192.0.2.8", "192.0.2.9"]);
    assert_eq!(spell("192.0.2.8/32"), ["192.0.2.8"]);
    assert_eq!(spell("2001:db8::/127"), ["2001:db8::", "2001:db8::1"]);
    assert_eq!(host_count("::/0".parse().unwrap()), u128::MAX);
}

proptest! {
    #[test]
    fn nothing_panics(text: String) {
        let _ = parse(&text);
    }

    #[test]
    fn nor_what_looks_like_a_target(text in r"[0-9a-f:./\[\]%]{0,40}") {
        let _ = parse(&text);
    }

    #[test]
    fn what_a_label_shows_can_be_read(address: std::net::SocketAddr) {
        prop_assume!(address.port() > 0 && usable(address.ip()).is_ok());
        prop_assume!(!matches!(address, std::net::SocketAddr::V6(v6) if v6.scope_id() != 0));
        let text = address.to_string();
        let written = parse(&text).unwrap();
        prop_assert_eq!(written.port, Some(address.port()));
        prop_assert!(matches!(written.what, What::Ip(ip, _) if ip == address.ip()));
    }
}
