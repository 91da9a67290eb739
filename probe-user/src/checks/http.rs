//! A page is served: GET is answered with 2xx.

use http_body_util::Empty;
use hyper::{
    Request, Uri,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;

use super::Tcp;

/// A page.
#[derive(Debug)]
pub struct Http {
    /// Where it is.
    pub uri: Uri,
    pub(super) server: Tcp,
}

impl Http {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("{url:?} is no URL ({error}); write http://HOST:PORT/PATH"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(format!(
                    "TLS is not spoken here; write check: {{command: [curl, -fsS, {url:?}]}}"
                ));
            }
            _ => return Err(format!("{url:?} is no URL; write http://HOST:PORT/PATH")),
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(format!(
                "{url:?} has a user in it; write check: {{command: [curl, -fsS, {url:?}]}}"
            ));
        }
        let host = uri.host().unwrap_or_default();
        let server = Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
        };
        Ok(Self { uri, server })
    }

    /// Asks for the page; redirections are not followed.
    pub async fn run(&self) -> Result<(), String> {
        let stream = self.server.connect().await?;
        let status = self
            .get(stream)
            .await
            .map_err(|error| format!("no answer from {}: {error}", self.uri))?;
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{} answered {status}", self.uri))
        }
    }

    async fn get(&self, stream: tokio::net::TcpStream) -> anyhow::Result<hyper::StatusCode> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, self.uri.authority().map_or("", |host| host.as_str()))
            .header(
                USER_AGENT,
                concat!("heartprobe/", env!("CARGO_PKG_VERSION")),
            )
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let mut answer = std::pin::pin!(sender.send_request(request));
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Whatever was read before the end is still there.
            end = connection => match end {
                Ok(()) => answer.await,
                Err(error) => Err(error),
            },
        };
        Ok(answer?.status())
    }
}
