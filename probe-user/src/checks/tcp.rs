//! A connection is accepted.

use std::fmt;

use tokio::net::TcpStream;

/// Where somebody listens.
#[derive(Debug)]
pub struct Tcp {
    /// Address or name.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
}

impl Tcp {
    /// Connects, and hangs up.
    pub async fn run(&self) -> Result<(), String> {
        self.connect().await.map(drop)
    }

    /// Connects.
    pub async fn connect(&self) -> Result<TcpStream, String> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        connecting
            .await
            .map_err(|error| format!("cannot connect to {self}: {error}"))
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}
