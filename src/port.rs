//! A port of ours for probes or scrapes: what it serves is short, and nobody may hold it up, however many come and whoever
//! they are.
//!
//! There are so many places, and a connection is one request: it holds a place until it has its answer. Where all are taken
//! a newcomer gets that of the peer who has kept us waiting longest. A time limit alone would not do: whoever connects faster
//! than it passes keeps all places, and the queue before them, for himself. So each newcomer is there at once, and has at
//! least a moment to ask; only whoever takes all places in each moment makes others wait. A peer who waits for us, such as for a
//! text that is being made, keeps its place, from when it is let in: who it is may have to be found out first.

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

mod tls;

pub use tls::Tls;

/// Few next to the files that a process may have open, which are a thousand at least.
const PLACES: usize = 128;
/// Those that are not let in yet, which cost no files. The kernel turns away the first that is too many, and who comes again
/// comes seconds later; it may have a lower limit.
const QUEUE: u32 = 4096;
/// So long a newcomer may keep us waiting in any case. The queue moves on by all places in each. Much less would cut off who
/// has asked already, where threads of ours do not get their turn on a busy machine.
const MOMENT: Duration = Duration::from_millis(100);
/// No connection lives for longer.
const LONGEST: Duration = Duration::from_secs(30);

/// A port that is ours and answers nobody yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Port {
    /// Takes the port. Fails if somebody else has it.
    pub fn take(address: SocketAddr, tls: Option<Tls>) -> std::io::Result<Port> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // What an earlier process of ours has left behind is not in the way.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Port { listener: socket.listen(QUEUE)?, tls: tls.map(Arc::new) })
    }

    /// Answers from now on, until the process ends.
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
                    // The process has too many files open, or the peer is gone already.
                    tracing::debug!(%error, "a connection to a port of ours");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            places.make_room().await;
            let (peer, app, tls) = (Peer::default(), app.clone(), self.tls.clone());
            let connection = connection(stream, tls, app, peer.clone());
            // Who does not come to an end is cut off.
            let task = tokio::spawn(async move { drop(timeout(LONGEST, connection).await) });
            places.0.push((task.abort_handle(), peer));
        }
    }
}

/// The other side of a connection, which each request has among its extensions: since when it has kept us waiting; `None` while
/// it waits for us.
#[derive(Clone)]
pub struct Peer(Arc<Mutex<Option<Instant>>>);

impl Default for Peer {
    fn default() -> Peer {
        Peer(Arc::new(Mutex::new(Some(Instant::now()))))
    }
}

impl Peer {
    /// It may have what it asks for, and waits for us from now on.
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

/// The connections that are there.
#[derive(Default)]
struct Places(Vec<(AbortHandle, Peer)>);

impl Places {
    /// Waits until a place is free, or somebody has kept us waiting for a moment, who is cut off.
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
                // Some end by themselves meanwhile.
                _ => sleep(MOMENT / 10).await,
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Arc<Tls>>, app: Router, peer: Peer) {
    let Some(tls) = tls else { return exchange(stream, app, peer).await };
    match tls.acceptor().accept(stream).await {
        Ok(stream) => exchange(stream, app, peer).await,
        // Who cannot do TLS has no answer to expect.
        Err(error) => tracing::debug!(%error, "a connection to a port of ours"),
    }
}

/// One request and its answer.
async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, app: Router, peer: Peer) {
    let answer = tower::service_fn(move |mut request: Request<_>| {
        request.extensions_mut().insert(peer.clone());
        let (answer, peer) = (app.clone().call(request), peer.clone());
        async move {
            let answer = answer.await;
            // From here on it is the peer's turn to take it.
            peer.set(Some(Instant::now()));
            answer as Result<_, Infallible>
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server.http1().keep_alive(false);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(answer)).await
    {
        tracing::debug!(error, "a connection to a port of ours");
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

    /// Asks, and gives the answer, or nothing where there is none.
    async fn ask(mut stream: TcpStream, path: &str) -> String {
        let mut answer = String::new();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: it\r\n\r\n").as_bytes()).await.unwrap();
        // Who was cut off may hear it in another way than by an end.
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
        let app = app.route("/stranger", get(async || std::future::pending::<()>().await));
        let port = Port::take((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let address = port.listener.local_addr().unwrap();
        port.serve(app);
        let connect = async || TcpStream::connect(address).await.unwrap();
        let waiting = tokio::spawn(ask(connect().await, "/slow"));
        asked.notified().await;
        let mut idle = vec![];
        for count in 0..2 * PLACES {
            let mut stream = connect().await;
            // Some ask, and are not let in.
            if count % 2 == 0 {
                stream.write_all(b"GET /stranger HTTP/1.1\r\nhost: it\r\n\r\n").await.unwrap();
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
