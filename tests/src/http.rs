//! The least HTTP client that the tests need: requests without a body over a connection opened inside a namespace.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::net::Namespace;

/// Nothing that a test asks for takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// What stands between the status line and the body.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// Asks the server at `at` inside `namespace` for `path`.
pub fn get(namespace: &Namespace, at: SocketAddr, path: &str) -> io::Result<Response> {
    request("GET", namespace, at, path)
}

/// Asks the server at `at`, outside of any namespace, for `path`.
pub fn get_here(at: SocketAddr, path: &str) -> io::Result<Response> {
    exchange("GET", TcpStream::connect_timeout(&at, TIMEOUT)?, at, path)
}

/// Posts nothing to `path`.
pub fn post(namespace: &Namespace, at: SocketAddr, path: &str) -> io::Result<Response> {
    request("POST", namespace, at, path)
}

fn request(
    method: &str,
    namespace: &Namespace,
    at: SocketAddr,
    path: &str,
) -> io::Result<Response> {
    let stream = namespace.enter(|| TcpStream::connect_timeout(&at, TIMEOUT))?;
    exchange(method, stream, at, path)
}

fn exchange(
    method: &str,
    mut stream: TcpStream,
    at: SocketAddr,
    path: &str,
) -> io::Result<Response> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    // Version 1.0: the server closes when it is done, and sends no chunks.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {at}\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("not an HTTP answer: {answer:.80}")))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (status, headers) = head.split_once("\r\n")?;
    Some(Response {
        status: status.split(' ').nth(1)?.parse().ok()?,
        headers: headers.to_ascii_lowercase(),
        body: body.into(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_answer_is_taken_apart() {
        let answer =
            super::parse("HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\nbody\r\n\r\n").unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers, "content-type: x");
        assert_eq!(answer.body, "body\r\n\r\n");
        assert!(super::parse("nonsense").is_none());
    }
}
