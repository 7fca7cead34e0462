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
//! connections, but then a probe waits behind idle ones until they time out. The story `idle_connections_hold_up_nobody` has
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
const PLACES: usize = 128;
/// Connections that are not accepted yet, which cost no files. The kernel refuses the first one beyond that, and its client
/// retries seconds later; the kernel may have a lower limit.
const QUEUE: u32 = 4096;
/// Each new connection may be idle this long in any case. The queue advances by all slots in each such moment. A much
/// shorter one would close connections whose request has arrived already, if our threads do not run in time on a busy
/// machine.
const MOMENT: Duration = Duration::from_millis(100);
/// The longest lifetime of a connection.
const LONGEST: Duration = Duration::from_secs(30);

/// A port that is bound and does not respond yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Port {
    /// Binds the port. Fails if another process has it.
    pub fn take(address: SocketAddr, tls: Option<Tls>) -> std::io::Result<Port> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections that an earlier process of ours has left behind do not block the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Port { listener: socket.listen(QUEUE)?, tls: tls.map(Arc::new) })
    }

    /// Responds from now on, until the process ends.
    pub fn serve(self, app: Router) {
        if let Some(tls) = &self.tls {
            tokio::spawn(tls.clone().follow());
        }
        tokio::spawn(self.accept(app));
    }

    async fn accept(self, app: Router) {
        let mut places = Places::default();
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
            places.make_room().await;
            let (peer, app, tls) = (Peer::default(), app.clone(), self.tls.clone());
            let connection = connection(stream, tls, app, peer.clone());
            // Connections live at most `LONGEST`.
            let task = tokio::spawn(async move { drop(timeout(LONGEST, connection).await) });
            places.0.push((task.abort_handle(), peer));
        }
    }
}

/// The client of a connection, in the extensions of each request: since when it has been idle; `None` while it waits for us.
#[derive(Clone)]
pub struct Peer(Arc<Mutex<Option<Instant>>>);

impl Default for Peer {
    fn default() -> Peer {
        Peer(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Peer {
    /// Its request is admitted, and it waits for us from now on.
    pub fn is_let_in(&self) {
        self.set(None);
    }

    fn set(&self, waits_since: Option<Instant>) {
        *self.0.lock().expect("no panic while held") = waits_since;
    }

    fn waits_since(&self) -> Option<Instant> {
        *self.0.lock().expect("no panic while held")
    }
}

/// The open connections.
#[derive(Default)]
struct Places(Vec<(AbortHandle, Peer)>);

impl Places {
    /// Waits until a slot is free, or a connection has been idle for a moment, which is then closed.
    async fn make_room(&mut self) {
        loop {
            self.0.retain(|(task, _)| !task.is_finished());
            if self.0.len() < PLACES {
                return;
            }
            let waiting =
                self.0.iter().enumerate().filter_map(|(at, (_, peer))| Some((peer.waits_since()?, at)));
            match waiting.min() {
                Some((since, at)) if since.elapsed() >= MOMENT => self.0.swap_remove(at).0.abort(),
                // Some connections end by themselves meanwhile.
                _ => sleep(MOMENT / 10).await,
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, app: Router, peer: Peer) {
    let Some(tls) = tls else { return exchange(stream, app, peer).await };
    match tls.acceptor().accept(stream).await {
        Ok(stream) => exchange(stream, app, peer).await,
        // A client that cannot do TLS gets no response.
        Err(error) => tracing::debug!(%error, "connection failed"),
    }
}

/// One request and its response.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Router, peer: Peer) {
    let answer = tower::service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(peer.clone());
        let (answer, peer) = (app.clone().call(request), peer.clone());
        async move {
            let answer = answer.await;
            // From here on the client must read it.
            peer.set(Some(Instant::now()));
            answer as Result<_, Infallible>
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().keep_alive(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(answer)).await
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
    async fn ask(mut stream: TcpStream, path: &str) -> String {
        let mut answer = String::new();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").as_bytes()).await.unwrap();
        // A closed connection may end in another way than by an end of file.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn who_keeps_us_waiting_makes_room_and_who_waits_for_us_does_not() {
        let (asked, ready) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (asked, ready) = (asked.clone(), ready.clone());
            async move |Extension(peer): Extension<Peer>| {
                peer.is_let_in();
                asked.notify_one();
                ready.notified().await;
                "slow"
            }
        };
        let app = Router::new().route("/slow", get(slow)).route("/", get(async || "quick"));
        let app = app.route("/held", get(async || std::future::pending::<()>().await));
        let port = Port::take((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let address = port.listener.local_addr().unwrap();
        port.serve(app);
        let connect = async || TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(ask(connect().await, "/slow"));
        asked.notified().await;
        let mut idle = vec![];
        for count in 0..2 * PLACES {
            let mut stream = connect().await;
            // Some send a request, and are not admitted.
            if count % 2 == 0 {
                stream.write_all(b"GET /held HTTP/1.1\r\nhost: it\r\n\r\n").await.unwrap();
            }
            idle.push(stream);
        }
        // The older ones make room for the younger.
        for stream in &mut idle[..=PLACES] {
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        assert!(ask(connect().await, "/").await.ends_with("quick"));
        ready.notify_one();
        assert!(waiting.await.unwrap().ends_with("slow"));
    }
}
