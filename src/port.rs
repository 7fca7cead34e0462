//! An HTTP listener for probes or scrapes, with a connection cap: its responses are short, and no client may block others,
//! however many connect.
//!
//! There is a fixed number of slots, and a connection is one request: it holds a slot until it has its response. When all
//! are taken, a new connection gets the slot of the one that has been idle longest, which is closed. A time limit alone
//! would not be enough: a client that connects faster than the limit expires would keep all slots, and the queue before
//! them. So each new connection is accepted at once, and has at least a moment to send its request; only a client that
//! takes all slots in each moment makes others wait. A connection that waits for us, such as for a text that is being
//! rendered, keeps its slot from when it is admitted: the check of its token may have to come first.
//!
//! Why this is ours: `axum::serve` has no limit on connections, and the limits of `tower` and `tower-http` count requests in
//! progress, so a client that connects and sends nothing counts for none of them. A semaphore before `accept` caps the
//! connections, but then a probe waits behind idle ones until they time out. The story `idle_connections_hold_up_no_other_client` has
//! more idle connections than the process may open files, each open again as soon as it is closed, and a probe and a scrape
//! must get their response within five seconds. Only closing the idlest connection keeps that promise. HTTP itself is
//! `hyper-util`'s.

mod tls;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

pub use tls::Tls;

/// Small next to the number of files that a process may have open, which is a thousand at least.
const SLOTS: usize = 128;
/// Connections that are not accepted yet, which cost no files. The kernel refuses the first one beyond that, and its client
/// retries seconds later; the kernel may have a lower limit.
const QUEUE: u32 = 4096;
/// Each new connection may be idle this long in any case. The queue advances by all slots in each such moment. A much
/// shorter one would close connections whose request has arrived already, if our threads do not run in time on a busy
/// machine.
const MIN_IDLE: Duration = Duration::from_millis(100);
/// The longest lifetime of a connection.
const MAX_LIFETIME: Duration = Duration::from_secs(30);

/// A port that is bound and does not respond yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Port {
    /// Binds the port. Fails if another process has it.
    pub fn bind(address: SocketAddr, tls: Option<Tls>) -> std::io::Result<Port> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections that an earlier process of ours has left behind do not block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Port { listener: socket.listen(QUEUE)?, tls: tls.map(Arc::new) })
    }

    /// Responds from now on, until the process ends.
    pub fn serve(self, app: Router) {
        if let Some(tls) = &self.tls {
            tokio::spawn(tls.clone().watch());
        }
        tokio::spawn(self.accept(app));
    }

    async fn accept(self, app: Router) {
        let mut slots = Slots::default();
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // The process has too many files open, or the client is gone already.
                    tracing::debug!(%error, "connection failed");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            slots.make_room().await;
            let (connection, app, tls) = (Connection::default(), app.clone(), self.tls.clone());
            let handled = handle(stream, tls, app, connection.clone());
            // Connections live at most `MAX_LIFETIME`.
            let task = tokio::spawn(async move { drop(timeout(MAX_LIFETIME, handled).await) });
            slots.0.push((task.abort_handle(), connection));
        }
    }
}

/// A connection, in the extensions of each request: since when its client has been idle; `None` while the client waits for us.
#[derive(Clone)]
pub struct Connection(Arc<Mutex<Option<Instant>>>);

impl Default for Connection {
    fn default() -> Connection {
        Connection(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Connection {
    /// The request is admitted: from now on the client waits for us.
    pub fn admitted(&self) {
        self.set(None);
    }

    fn set(&self, idle_since: Option<Instant>) {
        *self.0.lock().expect("no panic while held") = idle_since;
    }

    fn idle_since(&self) -> Option<Instant> {
        *self.0.lock().expect("no panic while held")
    }
}

/// The open connections.
#[derive(Default)]
struct Slots(Vec<(AbortHandle, Connection)>);

impl Slots {
    /// Waits until a slot is free, or a connection has been idle for a moment, which is then closed.
    async fn make_room(&mut self) {
        loop {
            self.0.retain(|(task, _)| !task.is_finished());
            if self.0.len() < SLOTS {
                return;
            }
            let waiting = self
                .0
                .iter()
                .enumerate()
                .filter_map(|(at, (_, connection))| Some((connection.idle_since()?, at)));
            match waiting.min() {
                Some((since, at)) if since.elapsed() >= MIN_IDLE => self.0.swap_remove(at).0.abort(),
                // Some connections end by themselves meanwhile.
                _ => sleep(MIN_IDLE / 10).await,
            }
        }
    }
}

async fn handle(stream: TcpStream, tls: Option<Arc<Tls>>, app: Router, connection: Connection) {
    let Some(tls) = tls else { return exchange(stream, app, connection).await };
    match tls.acceptor().accept(stream).await {
        Ok(stream) => exchange(stream, app, connection).await,
        // A client that cannot do TLS gets no response.
        Err(error) => tracing::debug!(%error, "connection failed"),
    }
}

/// One request and its response.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    app: Router,
    connection: Connection,
) {
    let service = tower::service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(connection.clone());
        let (response, connection) = (app.clone().call(request), connection.clone());
        async move {
            let response = response.await;
            // From here on the client must read it.
            connection.set(Some(Instant::now()));
            response as Result<_, Infallible>
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().keep_alive(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await
    {
        tracing::debug!(error, "connection failed");
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    /// Sends a request, and returns the response, or nothing if there is none.
    async fn request(mut stream: TcpStream, path: &str) -> String {
        let mut response = String::new();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").as_bytes()).await.unwrap();
        // A closed connection may end in another way than by an end of file.
        let _ = stream.read_to_string(&mut response).await;
        response
    }

    #[tokio::test]
    async fn an_idle_connection_makes_room_and_one_that_waits_for_its_response_does_not() {
        let (requested, ready) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (requested, ready) = (requested.clone(), ready.clone());
            async move |Extension(connection): Extension<Connection>| {
                connection.admitted();
                requested.notify_one();
                ready.notified().await;
                "slow"
            }
        };
        let app = Router::new().route("/slow", get(slow)).route("/", get(async || "quick"));
        let app = app.route("/held", get(async || std::future::pending::<()>().await));
        let port = Port::bind((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let address = port.listener.local_addr().unwrap();
        port.serve(app);
        let connect = async || TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(request(connect().await, "/slow"));
        requested.notified().await;
        let mut idle = vec![];
        for count in 0..2 * SLOTS {
            let mut stream = connect().await;
            // Some send a request, and are not admitted.
            if count % 2 == 0 {
                stream.write_all(b"GET /held HTTP/1.1\r\nhost: it\r\n\r\n").await.unwrap();
            }
            idle.push(stream);
        }
        // The older ones make room for the younger.
        for stream in &mut idle[..=SLOTS] {
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        assert!(request(connect().await, "/").await.ends_with("quick"));
        ready.notify_one();
        assert!(waiting.await.unwrap().ends_with("slow"));
    }
}
