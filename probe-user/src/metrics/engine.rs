//! Which engine serves an interface.

/// How pings leave by an interface and how pongs are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its name, as `ip link` shows it.
    pub interface: String,
    /// How pings leave.
    pub transmit: Transmit,
    /// How pongs are received.
    pub receive: Receive,
}

/// How pings leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Made and sent inside the kernel.
    Kernel,
    /// From the daemon's sockets.
    Socket,
}

/// How pongs are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// By XDP in the driver.
    XdpNative,
    /// By XDP behind the driver.
    XdpGeneric,
    /// From the daemon's sockets, with the kernel's receive time.
    Socket,
}

impl Transmit {
    /// The value of the `transmit` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Socket => "socket",
        }
    }
}

impl Receive {
    /// The value of the `receive` label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XdpNative => "xdp-native",
            Self::XdpGeneric => "xdp-generic",
            Self::Socket => "socket",
        }
    }
}
