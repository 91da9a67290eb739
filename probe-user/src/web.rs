//! The HTTP server: metrics for Prometheus, health for whoever runs the box, a page for people.

mod coding;
mod page;
mod scrape;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use socket2::SockRef;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc, oneshot, watch},
};

use self::coding::Coding;
use crate::metrics::{Exporter, Vitals, exposition};

/// A prober whose loop has not turned for this long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Each scrape has a thread to itself and takes its share of the prober's CPU: more at once are refused.
const SCRAPES: u32 = 4;

/// How long a scrape that is under way may go on when the server ends.
const GRACE: Duration = Duration::from_millis(500);

/// A client that takes nothing for this long is gone.
const CLIENT_GONE_AFTER: Duration = Duration::from_mins(1);

/// A wish to read the configuration anew. To be answered with what came of it, an error as the user should see it.
pub type Reload = oneshot::Sender<Result<(), String>>;

/// What the server serves.
pub struct Web {
    /// All that is shown.
    pub exporter: Arc<Exporter>,
    /// Where `/-/reload` asks for one. Where nobody listens, nothing can be reloaded.
    pub reload: mpsc::Sender<Reload>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket listens there.
    #[error(
        "cannot listen on {0}: address already in use; is another heartprobe running? choose another with \
         --web.listen-address"
    )]
    InUse(String),
    /// The address is not one of the box's own.
    #[error(
        "cannot listen on {0}: no interface of this machine has that address; choose another with --web.listen-address"
    )]
    NotOurs(String),
    /// A port that this user may not take.
    #[error(
        "cannot listen on {0}: permission denied; ports below 1024 take CAP_NET_BIND_SERVICE, choose another with \
         --web.listen-address"
    )]
    Denied(String),
    /// The address is no address, or the kernel refuses for another reason.
    #[error(
        "cannot listen on {0}: {1}; --web.listen-address takes HOST:PORT, [IPV6]:PORT or :PORT"
    )]
    Other(String, io::Error),
}

/// Listens on `HOST:PORT`, or on every address with `:PORT`.
pub async fn bind(address: &str) -> Result<TcpListener, BindError> {
    let everywhere = address.strip_prefix(':').and_then(|port| port.parse().ok());
    let bound = match everywhere {
        Some(port) => {
            // The first takes IPv4 along; the second is for a kernel without IPv6.
            let any: [SocketAddr; 2] = [
                (Ipv6Addr::UNSPECIFIED, port).into(),
                (Ipv4Addr::UNSPECIFIED, port).into(),
            ];
            TcpListener::bind(&any[..]).await
        }
        None => TcpListener::bind(address).await,
    };
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address.to_owned()),
        io::ErrorKind::AddrNotAvailable => BindError::NotOurs(address.to_owned()),
        io::ErrorKind::PermissionDenied => BindError::Denied(address.to_owned()),
        _ => BindError::Other(address.to_owned(), error),
    })
}

/// Serves until `shutdown` is ready, and ends within a second after that, whatever its clients do.
///
/// # Errors
/// None while it runs: what concerns one connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    web: Web,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (stopping, stopped) = watch::channel(false);
    let scrapes = Arc::new(Semaphore::new(SCRAPES as usize));
    let shared = Arc::new(Shared {
        web,
        scrapes: scrapes.clone(),
        stopped,
    });
    let listener = listener.tap_io(|stream| {
        // Without these a client that vanished would be waited for forever; a socket that refuses them serves as well.
        let socket = SockRef::from(&*stream);
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_keepalive(true);
        let _ = socket.set_tcp_user_timeout(Some(CLIENT_GONE_AFTER));
    });
    let (ending, ended) = oneshot::channel::<()>();
    let server = axum::serve(listener, router(shared)).with_graceful_shutdown(async move {
        shutdown.await;
        drop(ending);
    });
    let outcome = tokio::select! {
        outcome = server.into_future() => outcome,
        () = async { let _ = ended.await; tokio::time::sleep(GRACE).await } => Ok(()),
    };
    stopping.send_replace(true);
    // A scrape's thread must not outlive the runtime whose timers it uses.
    let _ = scrapes.acquire_many(SCRAPES).await;
    outcome
}

struct Shared {
    web: Web,
    scrapes: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(landing))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload).put(reload))
        .with_state(shared)
}

async fn landing(State(shared): State<Arc<Shared>>) -> Response {
    let page = page::render(&shared.web.exporter);
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Ok(permit) = shared.scrapes.clone().try_acquire_owned() else {
        let busy =
            format!("{SCRAPES} scrapes are under way: scrape less often, or from fewer places\n");
        return (StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    };
    let coding = Coding::best(&headers);
    let exporter = shared.web.exporter.clone();
    let body = scrape::body(exporter, coding, permit, shared.stopped.clone());
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let content_type = header::HeaderValue::from_static(exposition::CONTENT_TYPE);
    headers.insert(header::CONTENT_TYPE, content_type);
    let vary = header::HeaderValue::from_static("accept-encoding");
    headers.insert(header::VARY, vary);
    if coding == Coding::Gzip {
        let gzip = header::HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

async fn healthy(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    health(&shared.web.exporter.vitals, Instant::now())
}

fn health(vitals: &Vitals, now: Instant) -> (StatusCode, String) {
    let idle = vitals.idle_for(now);
    if idle < HANGS_AFTER {
        return (StatusCode::OK, "heartprobe is healthy\n".to_owned());
    }
    let hangs = format!("the prober has not turned for {} s\n", idle.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, hangs)
}

async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    if shared.web.exporter.vitals.is_ready() {
        (
            StatusCode::OK,
            "heartprobe is ready
",
        )
    } else {
        let why = "the prober does not probe all of its targets yet
";
        (StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

async fn reload(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let (wish, outcome) = oneshot::channel();
    // A send that fails drops the wish, and with it the outcome.
    let _ = shared.web.reload.send(wish).await;
    match outcome.await {
        Ok(Ok(())) => (StatusCode::OK, "the configuration is reloaded\n".to_owned()),
        Ok(Err(error)) => {
            let failed = format!("the configuration is as it was: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, failed)
        }
        Err(_) => {
            let nobody = "nothing to reload: no configuration file, or heartprobe is stopping\n";
            (StatusCode::SERVICE_UNAVAILABLE, nobody.to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
